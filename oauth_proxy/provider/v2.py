"""Frame.io v2: people sign in at applications.frame.io; api.frame.io/v2 has their profiles."""

from collections.abc import Mapping
from functools import partial

from oauth_proxy.identity import Identity
from oauth_proxy.provider.api import Api, Memberships, Question, required, text


def _read_profile(response: Mapping[str, object]) -> Identity:
    return Identity(
        id=required(response["id"]),
        email=text(response.get("email")),
        name=text(response.get("name")),
        account_id=text(response.get("account_id")),
    )


def _questions(asked: Memberships) -> list[Question]:
    return [
        Question(f"/v2/accounts/{account}/membership", partial(_in_account, account))
        for account in sorted(asked.accounts)
    ] + [Question(f"/v2/teams/{team}/membership", partial(_in_team, team)) for team in sorted(asked.teams)]


def _in_account(account: str, response: Mapping[str, object]) -> list[str]:
    """A user may have several roles in an account: an account role, a team role, and reviewer."""
    roles = [required(response[kind]) for kind in ("account", "team") if response.get(kind) is not None]
    if response.get("reviewer") is True:
        roles.append("reviewer")
    return [f"account:{account}", *(f"account:{account}:{role}" for role in roles)] if roles else []


def _in_team(team: str, response: Mapping[str, object]) -> list[str]:
    return [f"team:{team}", f"team:{team}:{required(response['role'])}"]


V2 = Api(
    name="v2",
    authorize_url="https://applications.frame.io/oauth2/auth",
    token_url="https://applications.frame.io/oauth2/token",  # noqa: S106 an address, not a secret
    api_url="https://api.frame.io",
    revoke_url=None,  # none is documented
    profile_path="/v2/me",
    read_profile=_read_profile,
    questions=_questions,
    repeats_scope=True,
    lifetime=3600,
)
