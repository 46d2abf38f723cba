"""The operations on what a workspace is set up with: hooks, subscriptions, campaigns, channels, settings, keys."""

from typing import Final

from api_shim import problems
from api_shim.operations import Handler, Operation, asking, taking
from api_shim.workspaces import (
    campaign_types,
    campaigns,
    channels,
    hook_types,
    hooks,
    key_types,
    keys,
    sender_types,
    senders,
    settings,
    subscriptions,
)
from api_shim.workspaces import subscription_types as subscribing
from api_shim.workspaces.nouns import BAD_BODY, BASE, Noun
from api_shim.workspaces.paging import PageQuery
from models.vocabulary import Scope

_HOOKS: Final = Noun("hooks", "Hooks", Scope.HOOKS)
_SUBSCRIPTIONS: Final = Noun("subscriptions", "Subscriptions", Scope.HOOKS)
_CAMPAIGNS: Final = Noun("campaigns", "Campaigns", Scope.ADMIN)
_CHANNELS: Final = Noun("channels", "Settings", Scope.ADMIN)
_SENDERS: Final = Noun("channels/{channel}", "Settings", Scope.ADMIN)
_KEYS: Final = Noun("keys", "Keys", Scope.ADMIN)


def _on_campaign(method: str, name: str, handler: Handler, view: type, summary: str) -> Operation:
    return Operation(
        method,
        f"{BASE}/campaigns/{{campaignId}}/{name}",
        handler,
        summary=summary,
        tag="Campaigns",
        scope=Scope.ADMIN,
        responses={200: view},
        errors=(problems.NOT_FOUND,) if method == "GET" else (problems.NOT_FOUND, problems.CONFLICT),
    )


_OF_HOOKS: Final = (
    _HOOKS.make(
        hook_types.HookRequest,
        hook_types.HookView,
        hooks.create,
        "Make a hook under which a provider reports; its signing key is shown in this answer alone",
    ),
    _HOOKS.page(PageQuery, hook_types.HookList, hooks.list_all, "List hooks, the newest first"),
    _HOOKS.get("hookId", hook_types.HookView, hooks.get, "Get a hook"),
    _HOOKS.change(
        "PATCH",
        "{hookId}",
        hook_types.HookPatch,
        hook_types.HookView,
        hooks.patch,
        "Change a hook, or its signing key: the old one stays valid for 24 hours",
    ),
    _HOOKS.remove("hookId", hooks.remove, "Remove a hook; its events stay"),
)

_OF_SUBSCRIPTIONS: Final = (
    _SUBSCRIPTIONS.make(
        subscribing.SubscriptionRequest,
        subscribing.SubscriptionView,
        subscriptions.create,
        "Make a subscription to status events, which are sent to it; its secret is shown in this answer alone",
        errors=(problems.CONFLICT,),
    ),
    _SUBSCRIPTIONS.page(
        PageQuery, subscribing.SubscriptionList, subscriptions.list_all, "List subscriptions, the newest first"
    ),
    _SUBSCRIPTIONS.get("subscriptionId", subscribing.SubscriptionView, subscriptions.get, "Get a subscription"),
    _SUBSCRIPTIONS.change(
        "PATCH",
        "{subscriptionId}",
        subscribing.SubscriptionPatch,
        subscribing.SubscriptionView,
        subscriptions.patch,
        "Change a subscription, or its secret: the old one stays valid for 24 hours",
    ),
    _SUBSCRIPTIONS.remove("subscriptionId", subscriptions.remove, "Remove a subscription; nothing more is sent to it"),
    Operation(
        "GET",
        f"{BASE}/subscriptions/{{subscriptionId}}/deliveries",
        summary="List what a subscription was told of, the newest first, with every attempt",
        tag="Subscriptions",
        scope=Scope.HOOKS,
        responses={200: subscribing.DeliveryList},
        errors=(problems.NOT_FOUND,),
        **asking(subscribing.DeliveryQuery, subscriptions.list_deliveries),
    ),
)

_OF_CAMPAIGNS: Final = (
    _CAMPAIGNS.make(
        campaign_types.CampaignRequest,
        campaign_types.CampaignView,
        campaigns.create,
        "Make a campaign, running",
    ),
    _CAMPAIGNS.page(PageQuery, campaign_types.CampaignList, campaigns.list_all, "List campaigns, the newest first"),
    _CAMPAIGNS.get("campaignId", campaign_types.CampaignView, campaigns.get, "Get a campaign"),
    _CAMPAIGNS.change(
        "PATCH",
        "{campaignId}",
        campaign_types.CampaignPatch,
        campaign_types.CampaignView,
        campaigns.patch,
        "Change a campaign",
    ),
    _CAMPAIGNS.remove(
        "campaignId",
        campaigns.remove,
        "Remove a campaign that has no message left to send; its messages stay",
        errors=(problems.CONFLICT,),
    ),
    _on_campaign(
        "POST",
        "pause",
        campaigns.pause,
        campaign_types.CampaignView,
        "Let a campaign's messages wait; none begins after the answer",
    ),
    _on_campaign(
        "POST", "resume", campaigns.resume, campaign_types.CampaignView, "Let a paused campaign's messages go out again"
    ),
    _on_campaign(
        "POST",
        "cancel",
        campaigns.cancel,
        campaign_types.CampaignView,
        "End a campaign for good: what is not sent yet reads FAILED with the reason `cancelled`",
    ),
    _on_campaign(
        "GET",
        "numbers",
        campaigns.numbers,
        campaign_types.CampaignNumbersView,
        "Count a campaign's messages by what became of them, people and programs apart, with rates",
    ),
)

_OF_SETTINGS: Final = (
    Operation(
        "GET",
        f"{BASE}/settings",
        settings.get,
        summary="Get the workspace's settings",
        tag="Settings",
        scope=Scope.ADMIN,
        responses={200: settings.SettingsView},
    ),
    Operation(
        "PATCH",
        f"{BASE}/settings",
        summary="Change the workspace's settings",
        tag="Settings",
        scope=Scope.ADMIN,
        responses={200: settings.SettingsView},
        errors=BAD_BODY,
        **taking(settings.SettingsPatch, settings.patch),
    ),
    Operation(
        "GET",
        f"{BASE}/channels",
        channels.list_all,
        summary="List the channels, and which of them can send",
        tag="Settings",
        scope=Scope.ADMIN,
        responses={200: sender_types.ChannelList},
    ),
    _CHANNELS.get("channel", sender_types.ChannelView, channels.get, "Get a channel, by its name as in `EMAIL`"),
    _SENDERS.make(
        sender_types.SenderRequest,
        sender_types.SenderView,
        senders.create,
        "Make a sender of the workspace's own on a channel, one at most on PUSH and TELEGRAM; "
        "its credentials are never shown again",
        errors=(problems.NOT_FOUND, problems.CONFLICT),
    ),
    _SENDERS.get("senderId", sender_types.SenderView, senders.get, "Get a sender"),
    _SENDERS.change(
        "PATCH",
        "{senderId}",
        sender_types.SenderPatch,
        sender_types.SenderView,
        senders.patch,
        "Change a sender; with new credentials it is tried at once",
        errors=(problems.CONFLICT,),
    ),
    _SENDERS.remove("senderId", senders.remove, "Remove a sender; what waits for it goes by the others"),
)

_OF_KEYS: Final = (
    _KEYS.make(
        key_types.KeyRequest,
        key_types.KeyView,
        keys.create,
        "Make an API key; its token is shown in this answer alone",
        errors=(problems.MISSING_SCOPE,),
    ),
    _KEYS.page(PageQuery, key_types.KeyList, keys.list_all, "List API keys, the newest first"),
    _KEYS.get("keyId", key_types.KeyView, keys.get, "Get an API key"),
    _KEYS.change(
        "PATCH",
        "{keyId}",
        key_types.KeyPatch,
        key_types.KeyView,
        keys.patch,
        "Rename an API key, or change its scopes; felt everywhere within a second",
        errors=(problems.MISSING_SCOPE, problems.CONFLICT),
    ),
    _KEYS.remove("keyId", keys.revoke, "Revoke an API key; refused everywhere within a second"),
)

OPERATIONS: Final = (*_OF_HOOKS, *_OF_SUBSCRIPTIONS, *_OF_CAMPAIGNS, *_OF_SETTINGS, *_OF_KEYS)
