(() => {
  'use strict';
  const parts = Array.from(document.body.children);
  const show = hidden => parts.forEach(part => { part.hidden = hidden; });
  show(true);
  setTimeout(show, 1000, false);
  location.replace(document.getElementById('way').href);
})();
