"""Frame.io v4: people sign in at Adobe IMS; api.frame.io/v4 has their profiles."""

from collections.abc import Mapping
from functools import partial

from oauth_proxy.identity import Identity, TokenMark
from oauth_proxy.provider.api import Api, Memberships, Question, required, text


def _read_profile(response: Mapping[str, object]) -> Identity:
    data = response["data"]
    if not isinstance(data, Mapping):
        raise TypeError("a v4 profile stands under 'data'")
    return Identity(
        id=required(data["id"]),
        email=text(data.get("email")),
        name=text(data.get("name")),
        account_id=text(data.get("account_id")),
    )


def _questions(asked: Memberships) -> list[Question]:
    return (
        [Question("/v4/accounts?page_size=100", partial(_in_accounts, asked.accounts), _next_page)]
        if asked.accounts
        else []
    )


def _in_accounts(asked: frozenset[str], response: Mapping[str, object]) -> list[str]:
    """The user's roles in those accounts that the configuration names."""
    accounts = response["data"]
    if not isinstance(accounts, list):
        raise TypeError("v4 lists stand under 'data'")
    standing = []
    for account in accounts:
        place = f"account:{required(account['id']).lower()}"
        if place.removeprefix("account:") in asked:
            standing += [place, *(f"{place}:{required(role)}" for role in account.get("roles") or ())]
    return standing


def _next_page(response: Mapping[str, object]) -> str | None:
    links = response.get("links") or {}
    if not isinstance(links, Mapping):
        raise TypeError("v4 lists name their pages under 'links'")
    address = links.get("next")
    if not isinstance(address, str | None):
        raise TypeError("an address is text")
    return address or None


V4 = Api(
    name="v4",
    authorize_url="https://ims-na1.adobelogin.com/ims/authorize/v2",
    token_url="https://ims-na1.adobelogin.com/ims/token/v3",  # noqa: S106 an address, not a secret
    api_url="https://api.frame.io",
    revoke_url="https://ims-na1.adobelogin.com/ims/revoke",
    profile_path="/v4/me",
    read_profile=_read_profile,
    questions=_questions,
    repeats_scope=False,
    lifetime=24 * 3600,
    # v4 accepts v2's developer tokens, with this header, in accounts that Adobe does not manage.
    mark=TokenMark("fio-u-", "x-frameio-legacy-token-auth", "true"),
)
