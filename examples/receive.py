"""Takes in signed events, each once: WEBHOOK_SECRET=whsec_… python receive.py PORT."""

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from wireroom.client import BadSignature, verify  # where the file was copied: from client import …

SECRET = os.environ["WEBHOOK_SECRET"]
known: set[str] = set()  # in a database of yours: an event comes at least once, always under the same id


class Receiver(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self) -> None:
        """Answer 204 once the event is safe; whatever else is answered, it comes again."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            event = verify(body, dict(self.headers), SECRET)
        except BadSignature as error:
            self.send_error(401, str(error))
            return
        if self.headers["webhook-id"] not in known:
            known.add(self.headers["webhook-id"])
            print(event["type"], event["data"]["messageId"], flush=True)
        self.send_response(204)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
