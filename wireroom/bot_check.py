"""What ``wireroom doctor`` finds of TELEGRAM's bot."""

import asyncio

from channels.settings import ChannelSettings
from channels.telegram_address import API_VARIABLE, PUBLIC_API, TOKEN_VARIABLE
from wireroom.finding import TIMEOUT_S, Finding


async def examine(settings: ChannelSettings) -> Finding:
    """Whether the Bot API knows the bot: by ``getMe``, which changes nothing."""
    token = settings.telegram_bot_token
    if token is None:
        detail = f"not configured: TELEGRAM is off until {TOKEN_VARIABLE} is set"
        return Finding("Telegram", ok=True, detail=detail)
    # Only now: the library takes longer to import than all the rest does together.
    from telegram import Bot  # noqa: PLC0415 - see above
    from telegram.error import InvalidToken, TelegramError, TimedOut  # noqa: PLC0415 - see above
    from telegram.request import HTTPXRequest  # noqa: PLC0415 - see above

    request = HTTPXRequest(httpx_kwargs={"trust_env": False})  # as the channel's own: by no proxy
    bot = Bot(token, base_url=f"{settings.telegram_api_url}/bot", request=request, get_updates_request=request)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            # Of an error its kind alone is shown: its words may hold the token, which is a part of the address.
            name = (await bot.get_me()).username
    except InvalidToken:
        mend = f"correct {TOKEN_VARIABLE}, which @BotFather shows"
        mend += "" if settings.telegram_api_url == PUBLIC_API else f", or {API_VARIABLE}"
        return Finding("Telegram", ok=False, detail="the Bot API does not know the bot's token", mend=mend)
    except (TimeoutError, TimedOut):
        detail = f"the Bot API does not answer within {TIMEOUT_S:.0f} s"
        return Finding("Telegram", ok=False, detail=detail, mend=_reachable(settings))
    except (TelegramError, AttributeError, KeyError, TypeError) as error:  # all but the first: JSON of somebody else
        detail = f"the Bot API does not answer getMe as it should ({type(error).__name__})"
        return Finding("Telegram", ok=False, detail=detail, mend=_reachable(settings))
    finally:
        await request.shutdown()
    return Finding("Telegram", ok=True, detail=f"the bot is @{name}")


def _reachable(settings: ChannelSettings) -> str:
    return f"is {settings.telegram_api_url} reachable from here, and right? {API_VARIABLE} names another"
