"""Django's settings, with what the bench tells its peer by the environment; libpq reads PGHOST and the like itself."""

import os

SECRET_KEY = "of no use: there is no session and no form"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "post_office"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "HOST": os.environ["PGHOST"],
        "CONN_MAX_AGE": None,
    }
}

EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ["PEER_SMTP_PORT"])
POST_OFFICE = {
    "BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"},
    "BATCH_SIZE": 500,
    "THREADS_PER_PROCESS": 10,
    "LOG_LEVEL": 0,
    "CELERY_ENABLED": False,
}

PEER_SENDER = os.environ["PEER_SENDER"]
PEER_MESSAGES = os.environ["PEER_MESSAGES"]
# It tells of each batch, which nobody reads here.
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"post_office": {"level": "WARNING"}}}
