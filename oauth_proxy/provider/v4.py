"""Frame.io v4: Adobe IMS signs people in, api.frame.io/v4 says who they are."""

from collections.abc import Mapping

from oauth_proxy.identity import Identity
from oauth_proxy.provider.base import Api, required, text


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


V4 = Api(
    name="v4",
    authorize_url="https://ims-na1.adobelogin.com/ims/authorize/v2",
    token_url="https://ims-na1.adobelogin.com/ims/token/v3",  # noqa: S106 an address, not a secret
    api_url="https://api.frame.io",
    revoke_url="https://ims-na1.adobelogin.com/ims/revoke",
    profile_path="/v4/me",
    read_profile=_read_profile,
)
