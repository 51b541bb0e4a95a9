"""A Streamlit app that calls Frame.io for as long as its page is open. It needs streamlit only.

TOOL_API=http://127.0.0.1:4182 streamlit run streamlit_app.py \
    --server.address 127.0.0.1 --server.port 3000 --browser.serverAddress review.example.com
"""

import os

import requests
import streamlit as st

TOOL_API = os.environ.get("TOOL_API", "http://127.0.0.1:4182")
FRAMEIO_ME = os.environ.get("FRAMEIO_ME", "https://api.frame.io/v4/me")
HANDLE = "X-OAuth-Proxy-Handle"


def fresh_token() -> str:
    """The visitor's access token, good now; the handle came with the handshake of the page's WebSocket."""
    handle = st.context.headers.get(HANDLE, "")
    answer = requests.get(f"{TOOL_API}/token", headers={HANDLE: handle}, timeout=20)
    if answer.status_code == 401:
        st.warning("You are signed out. Please reload this page.")
        st.stop()
    if answer.status_code != 200:
        st.info(f"Frame.io is away. Please try again in {answer.headers.get('Retry-After', '5')} seconds.")
        st.stop()
    return str(answer.json()["access_token"])


st.title("Who am I?")
if st.button("Ask Frame.io"):
    # Never the Authorization of st.context.headers: that token was good when the page was opened.
    me = requests.get(FRAMEIO_ME, headers={"Authorization": f"Bearer {fresh_token()}"}, timeout=20)
    st.write(f"Frame.io answered {me.status_code}")
    st.json(me.json())
