"""Taking messages in for a sandbox: its addresses tell what becomes of them, some of them at once."""

from channels.registry import CHECKS
from channels.sandbox_stories import address_of_contact, story_of
from models.admission import AddressCheck, Consent, Draft, Recipient, address_of, check_consent
from models.vocabulary import Channel, FailureReason


def address_in_sandbox(draft: Draft, recipient: Recipient, check: AddressCheck) -> str:
    """As ``admission.address_of``; raises Refused also where the address's story is that it may not be written to."""
    told = address_of_contact(draft.channel, recipient.email)
    address = address_of(draft, recipient, check) if told is None else CHECKS[Channel.EMAIL](told)
    refusal = story_of(draft.channel, address).refusal
    consent = Consent(dead=refusal is FailureReason.SUPPRESSED, opted_out=refusal is FailureReason.OPTED_OUT)
    check_consent(consent, essential=draft.essential)
    return address
