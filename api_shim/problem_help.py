"""What each type of problem means and how to mend it, for the page that its URI leads to."""

from collections.abc import Mapping
from typing import Final

import msgspec

from api_shim.problems import FieldError


class Help(msgspec.Struct, frozen=True):
    """Words for people; code stands between backticks."""

    meaning: str
    mend: str


_IN_THE_BODY: Final = "`errors` points at the place (RFC 6901) and says what was expected there."
_OURS: Final = "Nothing that the request could have done better."
_SEE_WHY: Final = "`GET …/messages/{messageId}` lists the attempts with the peer's words."

BY_NAME: Final[Mapping[str, Help]] = {
    "malformed-request": Help(
        "What came is no HTTP/1.1 request, or one that two servers may read in two ways: no `Host` or two of them, "
        "`Content-Length` beside `Transfer-Encoding`, folded headers. The connection is closed.",
        "Send it as an HTTP library writes it; see that a proxy in between leaves it whole.",
    ),
    "malformed-json": Help(
        "The body is no JSON document, or one that is read in two ways: a name twice in an object, the character "
        "U+0000, nesting deeper than 32 levels, numbers beyond every range, another encoding than UTF-8.",
        "Send one JSON document in UTF-8, as a JSON library writes it.",
    ),
    "invalid-body": Help("A value in the body has the wrong type, length or form.", f"{_IN_THE_BODY} Correct it."),
    "missing-field": Help("A required field is not in the body.", f"{_IN_THE_BODY} Add it."),
    "unknown-field": Help(
        "The body holds a field that the operation does not know, and that would have had no effect.",
        f"{_IN_THE_BODY} Mind capitals and spelling; the nearest known name is given where there is one.",
    ),
    "invalid-parameter": Help(
        "A query parameter is unknown, or has the wrong type or form.",
        "`errors` names the `parameter` and says what was expected.",
    ),
    "invalid-header": Help("A request header has the wrong form.", "`detail` names the header and its form."),
    "unauthorized": Help(
        "No API key, or one that is malformed, unknown, expired or revoked; or no session that still lives. Which of "
        "them is not said.",
        "Send `Authorization: Bearer wr_live_…` with a key that still holds, or sign in. A hook takes the signature "
        "or the Basic credentials of its provider.",
    ),
    "sign-in-refused": Help(
        "The e-mail address or the password is wrong. Which of them is not said.", "Try again with the right ones."
    ),
    "csrf-token": Help(
        "A request by a session's cookie changes something and does not prove that our own page made it.",
        "Send the `csrfToken` of `GET /api/auth/session` as `X-CSRF-Token`.",
    ),
    "cross-origin": Help(
        "A browser says that a page of another site made the request.",
        "Call from a page of the public URL (`WIREROOM_PUBLIC_URL`), or from a server with an API key.",
    ),
    "missing-scope": Help(
        "The key, or the role of the person who is signed in, does not reach to this operation.",
        "`detail` names the scope: use a key that has it. Nobody gives a key or a person a scope that they lack, or "
        "takes one away.",
    ),
    "not-found": Help(
        "There is no such thing in this workspace. What belongs to another workspace is answered alike.",
        "Mind that ids belong to the workspace that they were made in.",
    ),
    "method-not-allowed": Help("The address exists, but not for this method.", "`Allow` lists the methods."),
    "not-acceptable": Help(
        "The request does not prove that it comes from the hook's provider, or brings a proof that was used for "
        "another body. Mailgun takes this answer for one not to repeat the request after.",
        "See that the hook has the `signingKey` that the provider shows now.",
    ),
    "request-timed-out": Help("The request did not arrive within its time.", "Send it again, in one go."),
    "conflict": Help(
        "What is asked for does not go with the present state: a message that is sent cannot be cancelled, a name is "
        "taken.",
        "`detail` says what stands in the way. Read the thing again before another try.",
    ),
    "last-admin": Help(
        "The person is the workspace's only admin: without one nobody who signs in could look after it.",
        "Make somebody else an admin first, then remove or demote this one.",
    ),
    "idempotency-in-flight": Help(
        "The first request with this `Idempotency-Key` has not ended yet.",
        "Repeat it after the seconds of `Retry-After`: it is then answered as the first one was.",
    ),
    "request-too-large": Help(
        "The body is longer than the operation takes, or holds more items.", "Split it: `detail` gives the limit."
    ),
    "unsupported-encoding": Help(
        "The body is compressed, or not as it says.",
        "Send it without `Content-Encoding`; a hook also takes `gzip`, alone.",
    ),
    "request-head-too-large": Help("Address and headers are over 64 KiB.", "Shorten them."),
    "idempotency-mismatch": Help(
        "The `Idempotency-Key` was used for a request with another body within the last 72 hours.",
        "Use a new key for a new message, and the same body where you repeat one.",
    ),
    "too-many-sign-ins": Help(
        "Too many sign-ins failed for this account or from this address, or too many are under way.",
        "Wait for the seconds of `Retry-After`.",
    ),
    "too-many-requests": Help(
        "The API key makes more requests a second than this server takes of one, too much was changed by the links of "
        "this message, or too many links that are none came from this address.",
        "Wait for the seconds of `Retry-After`.",
    ),
    "too-many-streams": Help(
        "This inbox, or all of them together, has as many streams open as this server keeps.",
        "Close those of pages that nobody sees. Connect again after the seconds of `Retry-After`.",
    ),
    "internal": Help("An error of ours.", f"{_OURS} Tell the operator: the log has the place."),
    "certificate-unavailable": Help(
        "The certificate by which the provider signed cannot be fetched from it now, so nothing was stored.",
        f"{_OURS} The provider repeats it.",
    ),
    "secret-unreadable": Help(
        "What would prove the request is sealed under a secret key that this server does not have. Nothing was stored.",
        "The provider repeats it. Whoever runs the server puts the key that is missing back, behind the newest one: "
        "`WIREROOM_SECRET_KEY=new,old`.",
    ),
    "storage-unavailable": Help(
        "The database cannot be reached now. Whether the request took effect is not known.",
        f"{_OURS} Repeat it after the seconds of `Retry-After`, messages with the same `Idempotency-Key`.",
    ),
    "no-address": Help("The contact has no address on that channel.", "Give the contact one, or send it `to` one."),
    "invalid-address": Help("The address on that channel is malformed.", "Correct the contact or `to`."),
    "opted-out": Help(
        "The contact unsubscribed from this topic, or from the channel.",
        "Do not send it. What they must receive all the same is `essential`, which takes a scope of its own.",
    ),
    "suppressed": Help(
        "The address is suppressed: it bounced for good, its owner complained, or a person entered it.",
        "Find it under `suppressions`; remove it only if you know that the address works again.",
    ),
    "channel-not-configured": Help(
        "No sender is configured for the channel.", "The operator sets it up: `wireroom doctor` says what is missing."
    ),
    "unknown-template": Help("There is no such template in this workspace.", "Correct `templateId`."),
    "unknown-campaign": Help("There is no such campaign in this workspace.", "Correct `campaignId`."),
    "unknown-journey": Help("There is no such journey in this workspace.", "Correct `journeyId`."),
    "render-error": Help(
        "The text does not render: its Liquid is malformed, or it exceeds a limit of loops, depth, output or time.",
        "`detail` gives the place. Try it with `…/templates/{templateId}/preview`.",
    ),
    "header-injection": Help(
        "A subject or a header holds a line break or another control character once it is rendered.",
        "Remove it from the text or from the contact's attributes.",
    ),
    "cancelled": Help(
        "A person called the message back, or its campaign was cancelled.",
        "What a person called back goes out by `POST …/messages/{messageId}/retry`. A cancelled campaign sends nothing "
        "any more: make a new message, of another campaign or of none.",
    ),
    "expired": Help("Its `expiresAt` passed before it was sent.", "Send a new message with a later `expiresAt`."),
    "erased": Help("The contact was erased.", "Nothing can be sent to an erased person."),
    "exhausted": Help("Every try of the schedule failed.", f"{_SEE_WHY} Retry it once the peer works again."),
    "unreachable": Help(
        "Every try of the schedule failed, the last one before the recipient's side was reached: at the provider, on "
        "the way to it, or in the house itself.",
        f"{_SEE_WHY} Once the operator has mended it, retry it, or all of them by `wireroom replay --fault ours`.",
    ),
    "poison": Help(
        "Sending it ended its worker process again and again, so it was taken out.",
        "Tell the operator: the workers' logs have the places.",
    ),
    "address-dead": Help(
        "The recipient's side says that the address does not exist. It is suppressed now.", "Correct the contact."
    ),
    "blocked": Help(
        "The chat takes nothing from this bot: it was blocked or removed, or nobody there has begun with it. It is "
        "suppressed now.",
        "Let the recipient begin with the bot, then remove the suppression. Another bot removes it, too.",
    ),
    "mailbox-full": Help("The recipient's mailbox is full.", "Retry it another day."),
    "policy": Help(
        "The recipient's side refused it by policy: spam, authentication, reputation.",
        f"{_SEE_WHY} Mind SPF, DKIM and DMARC of the sending domain.",
    ),
    "too-large": Help("It is larger than the recipient's side takes.", "Send fewer or smaller attachments."),
    "rejected": Help("The recipient's side refused it for good, for another reason.", _SEE_WHY),
    "forbidden-destination": Help(
        "The endpoint leads to an address that is not public.",
        "Use a public address; the operator can allow others with `WIREROOM_WEBHOOK_ALLOW_NETS`.",
    ),
    "endpoint-gone": Help(
        "The endpoint answered 410: it wants no more messages.", "Correct the contact's `webhookUrl`."
    ),
    "given-up": Help(
        "A person failed it while it was held.",
        "If it is still wanted, and did not arrive: `POST …/messages/{messageId}/retry`.",
    ),
    "provider-failed": Help("The provider reported that it gave the message up.", _SEE_WHY),
}

EXAMPLES: Final[Mapping[str, tuple[FieldError, ...]]] = {
    "invalid-body": (FieldError("expected `str`, got `int`", "#/subject"),),
    "missing-field": (FieldError("required", "#/contactId"),),
    "unknown-field": (FieldError("unknown field; did you mean subject?", "#/subjet"),),
    "invalid-parameter": (FieldError("expected `int` <= 200", parameter="limit"),),
    "idempotency-mismatch": (FieldError("another body had this key", "#"),),
}
"""What ``errors`` holds where a problem of that type points at a place."""
