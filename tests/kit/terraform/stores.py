"""Stand-ins of Secrets Manager, ECR and Secret Manager on 127.0.0.1:5001, and of an image registry that requires a login
on 127.0.0.1:5002, in front of the one on port 5000.

The signatures of requests to AWS are compared with those of Amazon's own library.
"""

import base64
import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEYS = Credentials("ASIAKIT", "a-secret-key", "a-session-token")
SECRETS = {
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:pull-a1b2c3": '{"username": "winston", "password": "pass"}',
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:delay-a1b2c3": "7s\n",
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:long-a1b2c3": "one\ntwo",
    "projects/p/secrets/pull": '{"username": "winston", "password": "pass"}',
    "projects/p/secrets/delay": "7s",
}
LOGIN = base64.b64encode(b"winston:pass").decode()


class Signer(SigV4Auth):
    """Signs for the time of another request."""

    def __init__(self, service, region, time):
        super().__init__(KEYS, service, region)
        self.time = time

    def signature_of(self, request):
        request.context["timestamp"] = self.time
        return self.signature(self.string_to_sign(request, self.canonical_request(request)), request)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


class Cloud(Handler):
    def do_POST(self):
        body, given = self.body(), self.headers["Authorization"]
        _, region, service, _ = given.split("Credential=")[1].split(",")[0].split("/")[1:]
        names = given.split("SignedHeaders=")[1].split(",")[0].split(";")
        headers = {name: self.headers[name] for name in names}
        request = AWSRequest("POST", f"http://{self.headers['Host']}/", headers=headers, data=body)
        signature = Signer(service, region, self.headers["X-Amz-Date"]).signature_of(request)
        if given.split("Signature=")[1] != signature or self.headers["X-Amz-Security-Token"] != KEYS.token:
            return self.reply(403, b'{"__type": "InvalidSignatureException"}')
        action = self.headers["X-Amz-Target"].split(".")[1]
        if (service, action) == ("ecr", "GetAuthorizationToken"):
            return self.json({"authorizationData": [{"authorizationToken": f"{region}-token"}]})
        secret = SECRETS.get(json.loads(body).get("SecretId"))
        if (service, action) != ("secretsmanager", "GetSecretValue") or secret is None:
            return self.reply(400, b'{"__type": "ResourceNotFoundException"}')
        return self.json({"SecretString": secret})

    def do_GET(self):
        secret = SECRETS.get(self.path.removeprefix("/v1/").removesuffix("/versions/latest:access"))
        if self.headers["Authorization"] != "Bearer a-google-token" or secret is None:
            return self.reply(403, b"{}")
        return self.json({"payload": {"data": base64.b64encode(secret.encode()).decode()}})

    def json(self, answer):
        self.reply(200, json.dumps(answer).encode(), [("Content-Type", "application/json")])


class Registry(Handler):
    """Hands requests with the right user and password on."""

    def do_GET(self):
        if self.headers["Authorization"] != f"Basic {LOGIN}":
            return self.reply(401, b"{}", [("WWW-Authenticate", 'Basic realm="kit"')])
        behind = http.client.HTTPConnection("127.0.0.1", 5000)
        behind.request(self.command, self.path, headers={"Accept": self.headers["Accept"] or "*/*"})
        answer = behind.getresponse()
        skipped = ("content-length", "transfer-encoding", "connection", "date", "server")
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in skipped]
        return self.reply(answer.status, answer.read(), headers)

    do_HEAD = do_GET


threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", 5002), Registry).serve_forever).start()
ThreadingHTTPServer(("127.0.0.1", 5001), Cloud).serve_forever()
