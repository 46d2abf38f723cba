"""Every event that the providers' documentation names, as they report it, and what each means in our words.

All tell of one recipient of one message, in its second run, at one time.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from models import ids
from models.ids import Kind

Event = dict[str, Any]
Examples = Sequence[tuple[Event, str]]
"""Events, each with the type of ours and what is said beside it: ``bounced hard``, ``opened machine``."""

NOW: Final = 1_800_000_000
WHEN: Final = "2027-01-15T08:00:00Z"
"""The same moment."""
MESSAGE: Final = ids.new_id()
SHOWN: Final = ids.show(Kind.MESSAGE, MESSAGE)
OURS: Final = f"{SHOWN}-2"
MESSAGE_ID: Final = f"<{SHOWN}.2@example.com>"


def sendgrid(name: str, **fields: Any) -> Event:
    common = {"email": "ann@example.org", "timestamp": NOW, "sg_message_id": "14c5d75ce93.dfd.64b469.filter1-0"}
    return {"event": name, "sg_event_id": "e", "wireroom": OURS} | common | fields


SENDGRID: Final[Examples] = [
    (sendgrid("processed"), "accepted"),
    (sendgrid("deferred", response="400 try again later"), "deferred"),
    (sendgrid("delivered", response="250 OK"), "delivered"),
    (sendgrid("bounce", type="bounce", status="5.0.0", reason="500 unknown recipient"), "bounced hard"),
    (sendgrid("bounce", type="bounce", bounce_classification="Invalid Address"), "bounced hard"),
    (sendgrid("bounce", type="bounce", bounce_classification="Technical"), "bounced soft"),
    (sendgrid("bounce", type="bounce", bounce_classification="Content"), "bounced soft"),
    (sendgrid("bounce", type="blocked"), "bounced soft"),
    (sendgrid("blocked"), "bounced soft"),
    (sendgrid("dropped", reason="Bounced Address"), "failed"),
    (sendgrid("dropped", reason="Invalid SMTPAPI header"), "failed"),
    (sendgrid("open"), "opened"),
    (sendgrid("open", sg_machine_open=True), "opened machine"),
    (sendgrid("open", sg_machine_open=False), "opened"),
    (sendgrid("click", url="https://example.com/"), "clicked"),
    (sendgrid("spamreport"), "complained"),
    (sendgrid("unsubscribe"), "unsubscribed"),
    (sendgrid("group_unsubscribe", asm_group_id=10), "unsubscribed"),
    (sendgrid("group_resubscribe", asm_group_id=10), "resubscribed"),
    (sendgrid("account_status_change", type="compliance_suspend"), "ignored"),
    (sendgrid("danced"), "ignored"),
]


def mailgun(name: str, **fields: Any) -> Event:
    common = {"id": "CPgfbmQMTCKtHW6uIWtuVe", "timestamp": float(NOW), "recipient": "ann@example.org"}
    message = {"headers": {"message-id": MESSAGE_ID.strip("<>")}}
    return {"event": name, "message": message, "user-variables": {"wireroom": OURS}} | common | fields


MAILGUN: Final[Examples] = [
    (mailgun("accepted"), "accepted"),
    (mailgun("delivered"), "delivered"),
    (mailgun("failed", severity="temporary", reason="generic"), "deferred"),
    (mailgun("failed", severity="permanent", reason="bounce"), "bounced hard"),
    (mailgun("failed", severity="permanent", reason="suppress-bounce"), "failed"),
    (mailgun("failed"), "failed"),
    (mailgun("rejected", reject={"reason": "Sandbox"}), "failed"),
    (mailgun("opened"), "opened"),
    (mailgun("opened", **{"client-info": {"bot": "apple"}}), "opened machine"),
    (mailgun("opened", **{"client-info": {"bot": "gmail"}}), "opened"),
    (mailgun("clicked"), "clicked"),
    (mailgun("clicked", **{"client-info": {"bot": "generic"}}), "clicked machine"),
    (mailgun("complained"), "complained"),
    (mailgun("unsubscribed"), "unsubscribed"),
    (mailgun("stored"), "ignored"),
    (mailgun("danced"), "ignored"),
]

MAILGUN_FORMS: Final[Sequence[tuple[str, Mapping[str, str], str]]] = [
    ("delivered", {}, "delivered"),
    ("dropped", {"reason": "hardfail", "code": "605"}, "failed"),
    ("dropped", {"reason": "old", "code": "602"}, "failed"),
    ("bounced", {"code": "550", "error": "5.1.1 no such user"}, "bounced hard"),
    ("bounced", {"code": "4.2.2"}, "bounced soft"),
    ("complained", {}, "complained"),
    ("unsubscribed", {}, "unsubscribed"),
    ("opened", {}, "opened"),
    ("clicked", {"url": "https://example.com/"}, "clicked"),
    ("danced", {}, "ignored"),
]


def postmark(record: str, **fields: Any) -> Event:
    common = {"MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "Recipient": "ann@example.org"}
    return {"RecordType": record, "Metadata": {"wireroom": OURS}} | common | fields


_BOUNCES: Final = {
    "HardBounce": "bounced hard",
    "SoftBounce": "bounced soft",
    "Unknown": "bounced soft",
    "Transient": "deferred",
    "DnsError": "deferred",
    "Blocked": "failed",
    "DMARCPolicy": "failed",
    "BadEmailAddress": "failed",
    "ManuallyDeactivated": "failed",
    "Unconfirmed": "failed",
    "SMTPApiError": "failed",
    "TemplateRenderingFailed": "failed",
    "VirusNotification": "failed",
    "SpamNotification": "complained",
    "SpamComplaint": "complained",
    "Unsubscribe": "unsubscribed",
    "Subscribe": "ignored",
    "AutoResponder": "ignored",
    "AddressChange": "ignored",
    "ChallengeVerification": "ignored",
    "OpenRelayTest": "ignored",
    "InboundError": "ignored",
    "Danced": "ignored",
}


POSTMARK: Final[Examples] = [
    (postmark("Delivery", DeliveredAt=WHEN), "delivered"),
    *((postmark("Bounce", Type=kind, BouncedAt=WHEN, ID=42), expected) for kind, expected in _BOUNCES.items()),
    (postmark("SpamComplaint", BouncedAt=WHEN, ID=42), "complained"),
    (postmark("Open", ReceivedAt=WHEN), "opened"),
    (postmark("Click", ReceivedAt=WHEN, OriginalLink="https://example.com"), "clicked"),
    (postmark("SubscriptionChange", ChangedAt=WHEN, SuppressSending=False), "resubscribed"),
    (postmark("SubscriptionChange", ChangedAt=WHEN, SuppressSending=False, Origin="Recipient"), "resubscribed"),
    (postmark("SubscriptionChange", ChangedAt=WHEN, SuppressSending=False, Origin="Customer"), "ignored"),
    *(
        (postmark("SubscriptionChange", ChangedAt=WHEN, SuppressSending=True, SuppressionReason=reason), expected)
        for reason, expected in (
            ("HardBounce", "bounced hard"),
            ("SpamComplaint", "complained"),
            ("ManualSuppression", "unsubscribed"),
        )
    ),
    (postmark("Inbound", ReceivedAt=WHEN), "ignored"),
    (postmark("Danced", ReceivedAt=WHEN), "ignored"),
]


def ses(name: str, key: str = "", *, by: str = "eventType", mail: Any = None, **told: Any) -> Event:
    tags = {"wireroom": [OURS]}
    known = {"messageId": "0102-ses", "timestamp": WHEN, "destination": ["ann@example.org"], "tags": tags}
    return {by: name, "mail": known | (mail or {})} | ({key: told} if key else {})


def bounce(kind: str, subtype: str, status: str = "5.1.1") -> Event:
    recipients = [{"emailAddress": "ann@example.org", "status": status, "diagnosticCode": "smtp; 550"}]
    return ses("Bounce", "bounce", bounceType=kind, bounceSubType=subtype, bouncedRecipients=recipients)


_ANN: Final = [{"emailAddress": "ann@example.org"}]


SES: Final[Examples] = [
    (ses("Send", "send"), "accepted"),
    (ses("Delivery", "delivery", recipients=["ann@example.org"]), "delivered"),
    (ses("Delivery", "delivery", by="notificationType", recipients=["ann@example.org"]), "delivered"),
    (ses("DeliveryDelay", "deliveryDelay", delayType="MailboxFull", delayedRecipients=_ANN), "deferred"),
    (bounce("Permanent", "General"), "bounced hard"),
    (bounce("Permanent", "NoEmail"), "bounced hard"),
    (bounce("Permanent", "Suppressed"), "failed"),
    (bounce("Permanent", "OnAccountSuppressionList"), "failed"),
    (bounce("Transient", "MailboxFull", "4.2.2"), "bounced soft"),
    (bounce("Transient", "General", "5.4.4"), "bounced hard"),
    (bounce("Undetermined", "Undetermined", ""), "bounced soft"),
    (ses("Complaint", "complaint", complaintFeedbackType="abuse", complainedRecipients=_ANN), "complained"),
    (ses("Complaint", "complaint", complaintFeedbackType="not-spam", complainedRecipients=_ANN), "ignored"),
    (
        ses("Complaint", "complaint", complaintSubType="OnAccountSuppressionList", complainedRecipients=_ANN),
        "failed",
    ),
    (ses("Reject", "reject", reason="Bad content"), "failed"),
    (ses("Rendering Failure", "failure", errorMessage="no attribute"), "failed"),
    (ses("Open", "open", timestamp=WHEN), "opened"),
    (ses("Click", "click", timestamp=WHEN, link="https://example.com/"), "clicked"),
    (ses("Subscription", "subscription", newTopicPreferences={"unsubscribeAll": True}), "unsubscribed"),
    (ses("Subscription", "subscription", newTopicPreferences={"unsubscribeAll": False}), "resubscribed"),
    (ses("Danced"), "ignored"),
]


def resend(name: str, **data: Any) -> Event:
    known = {"email_id": "56761188-7520", "to": ["ann@example.org"], "tags": {"wireroom": OURS}}
    return {"type": name, "created_at": WHEN, "data": known | data}


RESEND: Final[Examples] = [
    (resend("email.sent"), "accepted"),
    (resend("email.scheduled"), "accepted"),
    (resend("email.delivered"), "delivered"),
    (resend("email.delivery_delayed"), "deferred"),
    (resend("email.bounced", bounce={"type": "Permanent", "subType": "General"}), "bounced hard"),
    (resend("email.bounced", bounce={"type": "Transient", "subType": "MailboxFull"}), "bounced soft"),
    (resend("email.bounced", bounce={"type": "Permanent", "subType": "Suppressed"}), "failed"),
    (resend("email.bounced", bounce={"message": "Resend has suppressed sending to this address"}), "failed"),
    (resend("email.complained"), "complained"),
    (resend("email.opened"), "opened"),
    (resend("email.clicked", click={"link": "https://example.com"}), "clicked"),
    (resend("email.failed", failed={"reason": "reached_daily_quota"}), "failed"),
    (resend("email.suppressed"), "failed"),
    (resend("email.received"), "ignored"),
    (resend("contact.created"), "ignored"),
    (resend("domain.updated"), "ignored"),
    (resend("suppression.added"), "ignored"),
    (resend("email.danced"), "ignored"),
    (resend("email.sent", tags=[{"name": "wireroom", "value": OURS}]), "accepted"),
    (resend("email.sent", tags={}, headers=[{"name": "X-Wireroom-Message", "value": OURS}]), "accepted"),
    (resend("email.sent", tags=None, message_id=MESSAGE_ID), "accepted"),
]


def brevo(name: str, **fields: Any) -> Event:
    common = {"email": "ann@example.org", "id": 26224, "ts": NOW - 50, "ts_event": NOW, "message-id": "<2020@relay>"}
    return {"event": name, "X-Mailin-custom": f"wireroom:{OURS}"} | common | fields


_BREVOS_WORDS: Final = {
    "request": "accepted",
    "sent": "accepted",
    "delivered": "delivered",
    "deferred": "deferred",
    "soft_bounce": "bounced soft",
    "hard_bounce": "bounced hard",
    "invalid_email": "bounced hard",
    "blocked": "failed",
    "error": "failed",
    "spam": "complained",
    "complaint": "complained",
    "unsubscribed": "unsubscribed",
    "unsubscribe": "unsubscribed",
    "opened": "opened",
    "open": "opened",
    "unique_opened": "opened",
    "proxy_open": "opened machine",
    "unique_proxy_open": "opened machine",
    "click": "clicked",
    "list_addition": "ignored",
    "danced": "ignored",
}


BREVO: Final[Examples] = [(brevo(name), expected) for name, expected in _BREVOS_WORDS.items()]


def mailjet(name: str, **fields: Any) -> Event:
    common = {"time": NOW, "MessageID": 19421777835146490, "email": "ann@example.org"}
    return {"event": name, "CustomID": OURS, "Payload": ""} | common | fields


MAILJET: Final[Examples] = [
    (mailjet("sent", smtp_reply="sent (250 2.0.0 OK)"), "delivered"),
    (mailjet("open"), "opened"),
    (mailjet("click", url="https://example.com"), "clicked"),
    (mailjet("bounce", hard_bounce=True, error="user unknown"), "bounced hard"),
    (mailjet("bounce", hard_bounce=False, error="quota exceeded"), "bounced soft"),
    (mailjet("bounce", hard_bounce=False, error="greylisted"), "deferred"),
    (mailjet("bounce", hard_bounce=True, error="greylisted"), "bounced hard"),
    (mailjet("blocked", error="preblocked"), "failed"),
    (mailjet("spam", source="JMRPP"), "complained"),
    (mailjet("unsub"), "unsubscribed"),
    (mailjet("typofix"), "ignored"),
    (mailjet("danced"), "ignored"),
    (mailjet("open", CustomID="", Payload=OURS), "opened"),
]


def sparkpost(name: str, kind: str = "message_event", **fields: Any) -> Event:
    common = {"event_id": "92356927693813856", "message_id": "000443ee14578172be22", "timestamp": str(NOW)}
    known = {"type": name, "rcpt_meta": {"wireroom": OURS}, "raw_rcpt_to": "ann@example.org"}
    return {"msys": {kind: known | common | fields}}


_SPARKPOSTS_CLASSES: Final[Mapping[str, str]] = {
    **dict.fromkeys(["10", "30"], "bounced hard"),
    **dict.fromkeys(["1", "20", "21", "22", "23", "24", "40", "70"], "bounced soft"),
    **dict.fromkeys(["25", "50", "51", "52", "53", "54"], "bounced soft"),
    **dict.fromkeys(["60", "80", "100"], "ignored"),
    "26": "failed",
    "90": "unsubscribed",
    "7": "bounced soft",
}
ON_ITS_LIST: Final = "554 5.7.1 [internal] recipient address was suppressed due to customer policy"
_SPARKPOSTS_WORDS: Final[Mapping[str, str]] = {
    "injection": "accepted",
    "delivery": "delivered",
    "delay": "deferred",
    "spam_complaint": "complained",
    "policy_rejection": "failed",
    "generation_failure": "failed",
    "generation_rejection": "failed",
    "open": "opened",
    "initial_open": "opened",
    "amp_open": "opened",
    "amp_initial_open": "opened",
    "click": "clicked",
    "amp_click": "clicked",
    "list_unsubscribe": "unsubscribed",
    "link_unsubscribe": "unsubscribed",
    "relay_delivery": "ignored",
    "danced": "ignored",
}


SPARKPOST: Final[Examples] = [
    *((sparkpost(name), expected) for name, expected in _SPARKPOSTS_WORDS.items()),
    *((sparkpost("bounce", bounce_class=each), expected) for each, expected in _SPARKPOSTS_CLASSES.items()),
    (sparkpost("out_of_band", bounce_class="10"), "bounced hard"),
    (sparkpost("out_of_band", bounce_class="22"), "bounced soft"),
    (sparkpost("bounce", bounce_class="25", raw_reason=ON_ITS_LIST), "failed"),
    (sparkpost("open", "track_event", is_prefetched=True), "opened machine"),
]


def mandrill(name: str, **fields: Any) -> Event:
    message = {"_id": "m1", "email": "ann@example.org", "metadata": {"wireroom": OURS}}
    return {"event": name, "_id": "m1", "ts": NOW, "msg": message} | fields


_MANDRILLS_WORDS: Final = {
    "send": "accepted",
    "delivered": "delivered",
    "deferral": "deferred",
    "hard_bounce": "bounced hard",
    "soft_bounce": "bounced soft",
    "open": "opened",
    "click": "clicked",
    "spam": "complained",
    "unsub": "unsubscribed",
    "reject": "failed",
    "inbound": "ignored",
    "danced": "ignored",
}


MANDRILL: Final[Examples] = [(mandrill(name), expected) for name, expected in _MANDRILLS_WORDS.items()]


def membership(status: str, **fields: Any) -> Event:
    chat = {"id": 42, "type": "private"}
    member = {"status": status} | fields
    return {"update_id": 7, "my_chat_member": {"chat": chat, "date": NOW, "new_chat_member": member}}


MEMBERSHIPS: Final[Examples] = [
    (membership("kicked"), "bounced hard"),
    (membership("left"), "bounced hard"),
    (membership("restricted", is_member=False), "bounced hard"),
    (membership("restricted", is_member=True), "resubscribed"),
    (membership("member"), "resubscribed"),
    (membership("administrator"), "resubscribed"),
    (membership("danced"), "ignored"),
]


def generic(name: str, **fields: Any) -> Event:
    return {"id": "e1", "type": name, "messageId": SHOWN, "at": WHEN} | fields


GENERIC: Final[Examples] = [
    (generic("delivered"), "delivered"),
    (generic("opened"), "opened"),
    (generic("clicked"), "clicked"),
    (generic("bounced"), "bounced hard"),
    (generic("bounced", bounceType="soft", detail="mailbox full"), "bounced soft"),
    (generic("deferred"), "deferred"),
    (generic("complained"), "complained"),
    (generic("unsubscribed"), "unsubscribed"),
    (generic("failed", detail={"code": 5}), "failed"),
    (generic("danced"), "ignored"),
]
