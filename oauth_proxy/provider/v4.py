"""Frame.io v4: Adobe IMS signs people in, api.frame.io/v4 says who they are."""

from collections.abc import Mapping
from functools import partial

from oauth_proxy.identity import Identity
from oauth_proxy.provider.api import Api, Asked, Question, required, text


def _read_profile(answer: Mapping[str, object]) -> Identity:
    data = answer["data"]
    if not isinstance(data, Mapping):
        raise TypeError("a v4 profile stands under 'data'")
    return Identity(
        id=required(data["id"]),
        email=text(data.get("email")),
        name=text(data.get("name")),
        account_id=text(data.get("account_id")),
    )


def _questions(asked: Asked) -> list[Question]:
    return (
        [Question("/v4/accounts?page_size=100", partial(_in_accounts, asked.accounts))] if asked.accounts else []
    )


def _in_accounts(asked: frozenset[str], answer: Mapping[str, object]) -> list[str]:
    """The caller's accounts with their roles; of those, what was asked about."""
    accounts = answer["data"]
    if not isinstance(accounts, list):
        raise TypeError("v4 lists stand under 'data'")
    standing = []
    for account in accounts:
        place = f"account:{required(account['id']).lower()}"
        if place.removeprefix("account:") in asked:
            standing += [place, *(f"{place}:{required(role)}" for role in account.get("roles") or ())]
    return standing


V4 = Api(
    name="v4",
    authorize_url="https://ims-na1.adobelogin.com/ims/authorize/v2",
    token_url="https://ims-na1.adobelogin.com/ims/token/v3",  # noqa: S106 an address, not a secret
    api_url="https://api.frame.io",
    revoke_url="https://ims-na1.adobelogin.com/ims/revoke",
    profile_path="/v4/me",
    read_profile=_read_profile,
    questions=_questions,
)
