from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("backend", "0002_campaign_caller_ids_and_auto_pause")]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="allowed_by",
            field=models.CharField(blank=True, default="", max_length=400, verbose_name="allowed by"),
            preserve_default=False,
        ),
    ]
