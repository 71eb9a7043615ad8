// Sets the theme before the first paint; loaded as a plain script so that nothing flashes.
(function () {
  let kept;
  try {
    kept = localStorage.getItem('wstream.theme');
  } catch {
    return;
  }
  if (kept === 'dark' || kept === 'light')
    document.documentElement.setAttribute('data-theme', kept);
})();
