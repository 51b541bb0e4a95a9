"""Frame.io v2: applications.frame.io signs people in, api.frame.io/v2 says who they are."""

from collections.abc import Mapping

from oauth_proxy.identity import Identity
from oauth_proxy.provider.base import Api, required, text


def _read_profile(answer: Mapping[str, object]) -> Identity:
    return Identity(
        id=required(answer["id"]),
        email=text(answer.get("email")),
        name=text(answer.get("name")),
        account_id=text(answer.get("account_id")),
    )


V2 = Api(
    name="v2",
    authorize_url="https://applications.frame.io/oauth2/auth",
    token_url="https://applications.frame.io/oauth2/token",  # noqa: S106 an address, not a secret
    api_url="https://api.frame.io",
    revoke_url=None,  # none is documented
    profile_path="/v2/me",
    read_profile=_read_profile,
)
