import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backend", "0003_attempt_allowed_by")]

    operations = [
        migrations.CreateModel(
            name="Block",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("entry_id", models.CharField(max_length=40)),
                ("position", models.PositiveSmallIntegerField()),
                ("at", models.DateTimeField(db_index=True)),
                ("reason", models.CharField(max_length=40)),
                ("rule", models.TextField(blank=True)),
                ("count", models.PositiveIntegerField()),
                ("contacts", models.JSONField(default=list)),
                (
                    "campaign",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="blocks",
                        to="backend.campaign",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("entry_id", "position"), name="block_of_entry_once")
                ]
            },
        )
    ]
