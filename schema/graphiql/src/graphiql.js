// The template names this file, so its name stays; all that it loads has a hashed name.
import("./main.jsx");
