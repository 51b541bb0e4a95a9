// A link to the address that is open would lose its #fragment; to load it anew does not.
document.getElementById("again").addEventListener("click", (click) => {
  if (click.ctrlKey || click.metaKey || click.shiftKey) return;
  click.preventDefault();
  location.reload();
});
