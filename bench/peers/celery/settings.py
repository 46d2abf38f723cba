"""What the bench tells its peer, by the environment; libpq reads PGHOST and the like for itself."""

import os

BROKER = f"redis+socket://{os.environ['PEER_BROKER']}"
SMTP_PORT = int(os.environ["PEER_SMTP_PORT"])
SENDER = os.environ["PEER_SENDER"]
MESSAGES = os.environ["PEER_MESSAGES"]
