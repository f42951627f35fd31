// PostGraphile as it comes: its schema is what natural.sql has put into the database.
export const plugins = [];
export const schemas = ["graphile"];
