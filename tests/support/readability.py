"""Whether people can read a page, with their eyes or a screen reader; and its picture, to be looked at."""

from importlib.resources import files

from playwright.async_api import Page, expect

from tests.support.places import ROOT

PICTURES = ROOT / "artifacts" / "screenshots"

LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
LEAST_TARGET = 24  # CSS pixels, WCAG 2.2, 2.5.8

# Elements with words of their own, and the contrast of these with what lies behind them (WCAG 2.2, relative
# luminance). Colours are drawn on a canvas to be read as red, green and blue however they were written.
CONTRASTS = """() => {
    const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const luminance = (colour) => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        const [red, green, blue] = [...pen.getImageData(0, 0, 1, 1).data].map((channel) => {
            const part = channel / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (colour !== "rgba(0, 0, 0, 0)") return colour;
        }
        return "Canvas";
    };
    const speaks = (element) => [...element.childNodes].some(
        (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    return [...document.body.querySelectorAll("*")].filter(speaks).map((element) => {
        const both = [luminance(getComputedStyle(element).color), luminance(behind(element))];
        return [element.textContent.trim(), (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05)];
    });
}"""

BESIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"

SMALL = """(least) => [...document.querySelectorAll("a, button, input:not([type=hidden])")].filter((target) => {
    const box = target.getBoundingClientRect();
    return Math.min(box.width, box.height) < least;
}).map((target) => target.outerHTML)"""


AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
"""axe-core: rules of WCAG that a program can check."""
VIOLATIONS = """async () => (await axe.run({resultTypes: ["violations"]})).violations.map(
    (violation) => [violation.id, violation.help, ...violation.nodes.map((node) => node.html)])"""


async def assert_readable(page: Page) -> None:
    """A language, a title, one main heading in one main part, no scrolling sideways, contrast, targets to hit."""
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await expect(page.get_by_role("main")).to_have_count(1)
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_have_count(1)
    assert await page.title()
    assert await page.evaluate(BESIDE) == 0
    contrasts = await page.evaluate(CONTRASTS)
    assert await heading.inner_text() in dict(contrasts)
    assert [(words, contrast) for words, contrast in contrasts if contrast < LEAST_CONTRAST] == []
    assert await page.evaluate(SMALL, LEAST_TARGET) == []
    await page.evaluate(AXE)
    assert await page.evaluate(VIOLATIONS) == []


async def picture(page: Page, name: str) -> None:
    """The whole page as artifacts/screenshots/NAME.png."""
    await page.screenshot(path=PICTURES / f"{name}.png", full_page=True, animations="disabled")
