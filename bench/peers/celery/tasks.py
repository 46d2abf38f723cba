"""The worker: a mail by smtplib or a webhook by requests, then the message's row."""

import smtplib
import sys
from functools import cache

import psycopg
import requests
import settings
from celery import Celery
from celery.signals import worker_ready

app = Celery("bench", broker=settings.BROKER)
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_acks_late=False,
    task_ignore_result=True,
    worker_disable_rate_limits=True,
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
)


@app.task
def send_mail(number, recipient, content):
    """Send a finished mail over the process's own connection."""
    mail_server().sendmail(settings.SENDER, [recipient], content.encode())
    record(number)


@app.task
def post_hook(number, url, headers, content):
    """Post a finished webhook over the process's own connections."""
    session().post(url, data=content.encode(), headers=headers, timeout=30).raise_for_status()
    record(number)


def record(number):
    """The message is sent."""
    database().execute("UPDATE messages SET status = 'sent', sent_at = now() WHERE id = %s", [number])


@cache
def mail_server():
    """Stays open: a connection for each mail would cost as much as the mail."""
    return smtplib.SMTP("127.0.0.1", settings.SMTP_PORT)


@cache
def session():
    """Keeps its connections."""
    return requests.Session()


@cache
def database():
    """Commits each statement."""
    return psycopg.connect(autocommit=True)


@worker_ready.connect
def say_so(**_):
    """The bench waits for this line."""
    sys.__stdout__.write("ready\n")
    sys.__stdout__.flush()
