"""The emulated token endpoint: who may ask, what a code is worth, and how tokens succeed each other."""

from collections.abc import Callable

import pytest

from oauth_proxy.demo.dialects import V2, jwt
from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.grants import MOST_GRANTS, Grants, OAuthError
from oauth_proxy.demo.people import EDITOR, REVIEWER
from tests.demo.conftest import APPS, REDIRECT, VERIFIER, Client, Clock, basic
from tests.support.provider import s256
from tests.support.units import DAY


async def alive(client: Client, token: str) -> bool:
    answer = await client.ask(f"/{client.app.api}/me", token)
    assert answer.status in (200, 401)
    return answer.status == 200


async def test_a_code_buys_tokens_as_documented(secret_app: Client) -> None:
    answer = await secret_app.redeem(await secret_app.code())
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.fields.keys() == {"access_token", "refresh_token", "expires_in", "scope", "token_type"}
    assert answer.fields["expires_in"] == 3600
    assert answer.fields["scope"] == "account.read offline"
    assert answer.fields["token_type"] == "bearer"
    assert len(answer.fields["access_token"]) == 87


async def test_v4_tokens_look_like_jwts_and_are_as_large_as_told(frameio: FrameIO, v4_app: Client) -> None:
    tokens = await v4_app.tokens()
    assert tokens["id_token"].count(".") == 2
    for size in (2000, 4000, 512):
        frameio.set_token_size(size)
        tokens = (await v4_app.refresh(tokens["refresh_token"])).fields
        assert [len(tokens[name]) for name in ("access_token", "refresh_token")] == [size, size]
        assert tokens["access_token"].count(".") == 2


async def test_without_the_offline_scope_there_is_no_refresh_token(lasting: Client) -> None:
    scope = "openid" if lasting.app.api == "v4" else "account.read"
    assert "refresh_token" not in await lasting.tokens(scope=scope)
    assert "refresh_token" in await lasting.tokens()


def test_a_jwt_is_not_smaller_than_its_parts() -> None:
    assert len(jwt(512)) == 512
    with pytest.raises(ValueError, match="512 is the least"):
        jwt(128)


# Who asks.


async def refused(client: Client, headers: dict[str, str] | None = None, **changes: str | None) -> bool:
    answer = await client.redeem(await client.code(), headers, **changes)
    return answer.status == 401 and answer.error == "invalid_client" and "WWW-Authenticate" in answer.headers


async def test_a_secret_app_must_use_basic(secret_app: Client) -> None:
    assert await refused(secret_app, {})
    assert await refused(secret_app, {}, client_id=secret_app.app.client_id)
    assert await refused(secret_app, {"Authorization": "Basic !"})
    assert await refused(
        secret_app, {"Authorization": secret_app.headers()["Authorization"].replace("Basic", "Bearer")}
    )
    assert not await refused(secret_app)


async def test_a_secret_in_the_body_is_refused_even_beside_basic(secret_app: Client) -> None:
    secret = secret_app.app.client_secret
    assert await refused(secret_app, {}, client_id=secret_app.app.client_id, client_secret=secret)
    assert await refused(secret_app, client_secret=secret)


async def test_v4_takes_the_secret_in_the_body_too_but_not_by_two_ways_at_once(v4_app: Client) -> None:
    posted = {"client_id": v4_app.app.client_id, "client_secret": v4_app.app.client_secret}
    tokens = (await v4_app.redeem(await v4_app.code(), {}, **posted)).fields
    assert (await v4_app.refresh(tokens["refresh_token"], {}, **posted)).status == 200
    wrong = posted | {"client_secret": "wrong"}
    assert (await v4_app.redeem(await v4_app.code(), {}, **wrong)).error == "invalid_client"
    assert (await v4_app.redeem(await v4_app.code(), None, **posted)).error == "invalid_client"


async def test_v4_takes_parameters_in_the_query_too_but_none_twice(v4_spa: Client, pkce_app: Client) -> None:
    token = (await v4_spa.tokens())["access_token"]
    named = v4_spa.revoke_url.with_query(client_id=v4_spa.app.client_id)
    twice = {"token": token, "client_id": v4_spa.app.client_id}
    assert (await v4_spa.post(named, twice, {})).error == "invalid_request"
    assert (await v4_spa.post(named, {"token": token}, {})).status == 200
    assert not await alive(v4_spa, token)
    named = pkce_app.revoke_url.with_query(client_id=pkce_app.app.client_id)
    assert (await pkce_app.post(named, {"token": "any"}, {})).error == "invalid_client"


async def test_the_secret_is_form_urlencoded_before_it_becomes_basic(secret_app: Client) -> None:
    secret = secret_app.app.client_secret
    assert secret is not None
    assert await refused(secret_app, basic(secret_app.app.client_id, secret))
    assert not await refused(secret_app)


async def test_a_wrong_secret_or_app_is_refused(secret_app: Client) -> None:
    assert await refused(secret_app, basic(secret_app.app.client_id, "wrong"))
    assert await refused(secret_app, basic("nobody", "wrong"))


async def test_two_authorization_headers_are_refused_even_when_both_are_right(secret_app: Client) -> None:
    header, form = *secret_app.headers().items(), {"grant_type": "refresh_token", "refresh_token": "x"}
    for headers, error in [([header, header], "invalid_client"), ([header], "invalid_grant")]:
        async with secret_app.visitor.session.post(secret_app.token_url, data=form, headers=headers) as response:
            assert (await response.json())["error"] == error


async def test_the_body_cannot_name_another_app_than_basic_does(secret_app: Client) -> None:
    assert await refused(secret_app, client_id="pkce-app")
    assert not await refused(secret_app, client_id=secret_app.app.client_id)


async def test_a_pkce_app_sends_no_authorization_header(pkce_app: Client) -> None:
    assert await refused(pkce_app, basic(pkce_app.app.client_id, ""))
    assert await refused(pkce_app, basic(pkce_app.app.client_id, "guess"), client_id=None)
    assert not await refused(pkce_app)


async def test_a_pkce_app_names_itself_in_the_body(pkce_app: Client) -> None:
    assert await refused(pkce_app, client_id=None)
    assert await refused(pkce_app, client_id="nobody")
    assert await refused(pkce_app, client_secret="")


# The form.


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"code": None}, "invalid_request"),
        ({"code": "unknown"}, "invalid_grant"),
    ],
)
async def test_a_malformed_token_request_is_a_400_that_says_why(
    client: Client, changes: dict[str, str | None], error: str
) -> None:
    answer = await client.redeem(await client.code(), **changes)
    assert (answer.status, answer.error) == (400, error)


async def test_the_body_is_a_urlencoded_form_without_repeats(secret_app: Client) -> None:
    code = await secret_app.code()
    session, headers = secret_app.visitor.session, secret_app.headers()
    form = f"grant_type=authorization_code&code={code}&redirect_uri={REDIRECT}&code_verifier={VERIFIER}"
    urlencoded = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, kind in [(form + "&code=again", urlencoded), (form, {"Content-Type": "text/plain"})]:
        async with session.post(secret_app.token_url, data=body, headers=headers | kind) as response:
            assert response.status == 400
            assert (await response.json())["error"] == "invalid_request"
    async with session.post(secret_app.token_url, data=form, headers=headers | urlencoded) as response:
        assert response.status == 200


# What a code is worth.


async def test_a_code_used_twice_is_refused_and_its_tokens_die(lasting: Client) -> None:
    code = await lasting.code()
    tokens = (await lasting.redeem(code)).fields
    assert await alive(lasting, tokens["access_token"])
    assert (await lasting.redeem(code)).error == "invalid_grant"
    assert not await alive(lasting, tokens["access_token"])
    assert (await lasting.refresh(tokens["refresh_token"])).error == "invalid_grant"


async def test_a_code_lives_ten_minutes(client: Client, clock: Clock) -> None:
    early, late = await client.code(), await client.code()
    clock.now += 599
    assert (await client.redeem(early)).status == 200
    clock.now += 1
    assert (await client.redeem(late)).error == "invalid_grant"


async def test_a_code_belongs_to_the_app_that_asked(secret_app: Client, pkce_app: Client) -> None:
    code = await pkce_app.code()
    assert (await secret_app.redeem(code)).error == "invalid_grant"
    assert (await pkce_app.redeem(code)).status == 200


async def test_the_redirect_uri_is_repeated_exactly(client: Client) -> None:
    answer = await client.redeem(await client.code(), redirect_uri=REDIRECT + "/")
    assert answer.error == "invalid_grant"
    answer = await client.redeem(await client.code(), redirect_uri=None)
    assert answer.status == (200 if client.app.api == "v4" else 400)


@pytest.mark.parametrize("verifier", ["w" * 43, None, ""])
async def test_the_verifier_is_checked(client: Client, verifier: str | None) -> None:
    answer = await client.redeem(await client.code(), code_verifier=verifier)
    assert (answer.status, answer.error) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("verifier", "status"),
    [("v" * 42, 400), ("v" * 43, 200), ("v" * 128, 200), ("v" * 129, 400), ("v" * 42 + "!", 400)],
)
async def test_a_verifier_has_43_to_128_unreserved_characters(client: Client, verifier: str, status: int) -> None:
    code = await client.code(code_challenge=s256(verifier))
    assert (await client.redeem(code, code_verifier=verifier)).status == status


async def test_a_verifier_without_a_challenge_is_refused(secret_app: Client) -> None:
    without = {"code_challenge": None, "code_challenge_method": None}
    assert (await secret_app.redeem(await secret_app.code(**without))).error == "invalid_grant"
    assert (await secret_app.redeem(await secret_app.code(**without), code_verifier=None)).status == 200


# How tokens succeed each other.


async def test_a_refresh_brings_a_new_pair_and_ends_the_old_access_token(lasting: Client) -> None:
    old = await lasting.tokens()
    new = (await lasting.refresh(old["refresh_token"])).fields
    assert new["access_token"] != old["access_token"]
    assert new["refresh_token"] != old["refresh_token"]
    assert new["expires_in"] == 3599
    assert await alive(lasting, new["access_token"])
    assert not await alive(lasting, old["access_token"])


async def test_a_refresh_token_used_twice_ends_the_whole_grant(lasting: Client) -> None:
    old = await lasting.tokens()
    new = (await lasting.refresh(old["refresh_token"])).fields
    assert (await lasting.refresh(old["refresh_token"])).error == "invalid_grant"
    assert not await alive(lasting, new["access_token"])
    assert (await lasting.refresh(new["refresh_token"])).error == "invalid_grant"


async def test_another_login_of_the_same_person_outlives_that(lasting: Client) -> None:
    one, other = await lasting.tokens(), await lasting.tokens()
    await lasting.refresh(one["refresh_token"])
    await lasting.refresh(one["refresh_token"])
    assert await alive(lasting, other["access_token"])


async def test_a_refresh_token_belongs_to_its_app(secret_app: Client, pkce_app: Client) -> None:
    tokens = await pkce_app.tokens()
    assert (await secret_app.refresh(tokens["refresh_token"])).error == "invalid_grant"
    assert (await pkce_app.refresh(tokens["refresh_token"])).status == 200


async def test_v2_wants_the_scope_at_a_refresh_and_v4_does_not(lasting: Client) -> None:
    token = (await lasting.tokens())["refresh_token"]
    answer = await lasting.refresh(token, scope=None)
    if lasting.app.api == "v4":
        assert answer.status == 200
    else:
        assert answer.error == "invalid_request"
        assert (await lasting.refresh(token)).status == 200


async def test_a_refresh_cannot_widen_the_scope(lasting: Client) -> None:
    token = (await lasting.tokens())["refresh_token"]
    assert (await lasting.refresh(token, scope=f"{lasting.scope} auditlog.read")).error == "invalid_scope"
    assert (await lasting.refresh(token)).status == 200


async def test_a_refresh_may_narrow_the_scope(secret_app: Client) -> None:
    token = (await secret_app.tokens())["refresh_token"]
    narrow = (await secret_app.refresh(token, scope="offline")).fields
    assert narrow["scope"] == "offline"
    assert (await secret_app.ask("/v2/me", narrow["access_token"])).status == 403


async def test_an_access_token_lives_an_hour(client: Client, clock: Clock) -> None:
    token = (await client.tokens())["access_token"]
    clock.now += 3599
    assert await alive(client, token)
    clock.now += 1
    assert not await alive(client, token)


async def test_a_grant_lives_30_days_in_v2_and_14_in_v4(lasting: Client, clock: Clock) -> None:
    token = (await lasting.tokens())["refresh_token"]
    clock.now += (14 if lasting.app.api == "v4" else 30) * DAY - 1
    token = (await lasting.refresh(token)).fields["refresh_token"]
    clock.now += 1
    assert (await lasting.refresh(token)).error == "invalid_grant"


class TestWithoutRotation:
    @pytest.fixture
    def frameio(self, clock: Clock) -> FrameIO:
        return FrameIO(clock, APPS, rotate=False)

    async def test_the_refresh_token_stays_and_is_not_repeated(self, lasting: Client) -> None:
        old = await lasting.tokens()
        new = (await lasting.refresh(old["refresh_token"])).fields
        assert "refresh_token" not in new
        assert not await alive(lasting, old["access_token"])
        assert (await lasting.refresh(old["refresh_token"])).status == 200


# How a grant ends otherwise.


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
async def test_in_v2_revoking_either_token_ends_the_grant(secret_app: Client, pkce_app: Client, name: str) -> None:
    for client in (secret_app, pkce_app):
        tokens = await client.tokens()
        assert (await client.revoke(tokens[name])).status == 200
        assert not await alive(client, tokens["access_token"])
        assert (await client.refresh(tokens["refresh_token"])).error == "invalid_grant"


async def test_in_v4_revoking_the_access_token_leaves_the_refresh_token_alive(v4_app: Client) -> None:
    tokens = await v4_app.tokens()
    assert (await v4_app.revoke(tokens["access_token"])).status == 200
    assert not await alive(v4_app, tokens["access_token"])
    assert await alive(v4_app, (await v4_app.refresh(tokens["refresh_token"])).fields["access_token"])


async def test_in_v4_revoking_the_refresh_token_leaves_the_access_token_alive(v4_app: Client) -> None:
    tokens = await v4_app.tokens()
    assert (await v4_app.revoke(tokens["refresh_token"])).status == 200
    assert (await v4_app.refresh(tokens["refresh_token"])).error == "invalid_grant"
    assert await alive(v4_app, tokens["access_token"])


async def test_an_app_without_a_secret_gets_no_refresh_token_from_v4_and_its_page_says_so(
    v4_spa: Client, pkce_app: Client
) -> None:
    assert "refresh_token" not in await v4_spa.tokens()
    assert "refresh_token" in await pkce_app.tokens()
    assert "no refresh token" in await (await v4_spa.visitor.get(v4_spa.question())).text()
    assert "no refresh token" not in await (await pkce_app.visitor.get(pkce_app.question())).text()


async def test_only_the_token_s_own_app_revokes_it(secret_app: Client, pkce_app: Client) -> None:
    tokens = await secret_app.tokens()
    form = {"token": tokens["access_token"]}
    assert (await pkce_app.post(pkce_app.revoke_url, form, None)).status == 401
    assert (await pkce_app.post(pkce_app.revoke_url, form | pkce_app.identified(), None)).status == 200
    assert await alive(secret_app, tokens["access_token"])


async def test_an_unknown_token_is_as_good_as_revoked_and_none_is_an_error(client: Client) -> None:
    form = client.identified()
    assert (await client.post(client.revoke_url, form | {"token": "unknown"}, None)).status == 200
    assert (await client.post(client.revoke_url, form, None)).error == "invalid_request"


@pytest.mark.parametrize("end", [FrameIO.revoke_all, FrameIO.remove_person])
async def test_one_person_s_grants_can_be_ended_from_outside(
    frameio: FrameIO, lasting: Client, end: Callable[[FrameIO, object], None]
) -> None:
    tokens = await lasting.tokens()
    end(frameio, REVIEWER)
    assert await alive(lasting, tokens["access_token"])
    end(frameio, EDITOR)
    assert not await alive(lasting, tokens["access_token"])
    assert (await lasting.refresh(tokens["refresh_token"])).error == "invalid_grant"


async def test_access_tokens_can_be_expired_while_refresh_tokens_live(frameio: FrameIO, lasting: Client) -> None:
    tokens = await lasting.tokens()
    frameio.expire_access_tokens()
    assert not await alive(lasting, tokens["access_token"])
    assert (await lasting.refresh(tokens["refresh_token"])).status == 200


def test_the_oldest_of_ten_thousand_grants_is_forgotten(clock: Clock) -> None:
    grants = Grants(V2, clock, access_lifetime=3600, refresh_lifetime=DAY, rotate=True)
    first, second, *_ = [
        grants.authorize(
            client_id="app", person_id="p", scope=(), redirect_uri=REDIRECT, challenge=None, lasts=True
        )
        for _ in range(MOST_GRANTS + 1)
    ]
    with pytest.raises(OAuthError, match="No such code"):
        grants.redeem(first, "app", REDIRECT, None)
    assert grants.redeem(second, "app", REDIRECT, None)["access_token"]


# What tests can read.


async def test_what_was_issued_and_what_of_it_is_live_can_be_asked_from_outside(
    frameio: FrameIO, lasting: Client
) -> None:
    first = await lasting.tokens()
    second = (await lasting.refresh(first["refresh_token"])).fields
    assert frameio.issued("access") == [first["access_token"], second["access_token"]]
    assert frameio.issued("refresh") == [first["refresh_token"], second["refresh_token"]]
    assert len(frameio.issued("code")) == 1
    assert [frameio.is_live(token) for token in frameio.issued("access")] == [False, True]


async def test_calls_are_counted_and_token_requests_kept(frameio: FrameIO, lasting: Client) -> None:
    tokens = await lasting.tokens()
    await lasting.refresh(tokens["refresh_token"])
    await lasting.refresh("unknown")
    await lasting.redeem("x", grant_type="password")
    assert frameio.calls["token"] == 4
    assert frameio.calls["token:authorization_code"] == 1
    assert frameio.calls["token:refresh_token"] == 2
    first = frameio.token_requests[0]
    assert first.api == lasting.app.api
    assert ("authorization" in first.headers) == (lasting.app.client_secret is not None)
    assert first.form["code_verifier"] == VERIFIER


async def test_the_repr_of_a_kept_token_request_holds_no_secret(frameio: FrameIO, secret_app: Client) -> None:
    await secret_app.tokens()
    assert repr(frameio.token_requests[0]) == "TokenRequest(api='v2')"
    assert "s3cret" not in repr(secret_app.app)
