"""Actions and follows."""

from django.contrib.auth.models import User
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Action(models.Model):
    actor_content_type = models.ForeignKey(ContentType, models.CASCADE, related_name="+")
    actor_object_id = models.CharField(max_length=255)
    actor = GenericForeignKey("actor_content_type", "actor_object_id")
    verb = models.CharField(max_length=255)
    target_content_type = models.ForeignKey(
        ContentType, models.CASCADE, null=True, related_name="+"
    )
    target_object_id = models.CharField(max_length=255, null=True)  # noqa: DJ001
    target = GenericForeignKey("target_content_type", "target_object_id")
    action_object_content_type = models.ForeignKey(
        ContentType, models.CASCADE, null=True, related_name="+"
    )
    action_object_object_id = models.CharField(max_length=255, null=True)  # noqa: DJ001
    action_object = GenericForeignKey("action_object_content_type", "action_object_object_id")
    timestamp = models.DateTimeField()
    public = models.BooleanField()

    class Meta:
        managed = False

    def __str__(self) -> str:
        return self.verb


class Follow(models.Model):
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    content_type = models.ForeignKey(ContentType, models.CASCADE, related_name="+")
    object_id = models.CharField(max_length=255)
    actor_only = models.BooleanField()

    class Meta:
        managed = False

    def __str__(self) -> str:
        return self.object_id
