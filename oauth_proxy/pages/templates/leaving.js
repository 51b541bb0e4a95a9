(() => {
  'use strict';
  const way = document.getElementById('way');
  const parts = Array.from(document.body.children);
  const show = hidden => parts.forEach(part => { part.hidden = hidden; });
  const { origin, pathname, search, hash } = location;
  const page = origin + pathname + search;
  const whole = page.length + hash.length > 8192 ? page : page + hash;
  const start = (way.href || way.action).split('?')[0] + '?rd=' + encodeURIComponent(whole);
  show(true);
  setTimeout(show, 1000, false);
  if (start.length < 6000) {
    location.replace(start);
    return;
  }
  const form = document.createElement('form');
  const field = document.createElement('input');
  form.method = 'post';
  form.action = way.href || way.action;
  field.type = 'hidden';
  field.name = 'rd';
  field.value = whole;
  form.append(field);
  document.body.append(form);
  form.submit();
})();
