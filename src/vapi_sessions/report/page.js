"use strict";
{
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  // Storage can be forbidden for files; the switch then lasts as long as the page.
  const stored = (value) => {
    try {
      if (value) localStorage.setItem("vapi-sessions-theme", value);
      return localStorage.getItem("vapi-sessions-theme");
    } catch {
      return null;
    }
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const label = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  const before = stored();
  if (before === "dark" || before === "light") root.dataset.theme = before;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    stored(root.dataset.theme);
    label();
  });
  system.addEventListener("change", label);
  label();
  button.hidden = false;

  for (const opener of document.querySelectorAll("[data-opens]")) {
    const dialog = document.getElementById(opener.dataset.opens);
    opener.addEventListener("click", () => { dialog.showModal(); dialog.scrollTop = 0; });
    // A click beside the dialog closes it.
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }

  const { charts, config } = JSON.parse(document.getElementById("specs").textContent);
  const options = { mode: "vega-lite", renderer: "svg", actions: false, config, tooltip: { theme: "custom" } };
  Promise.all(Object.entries(charts).map(([name, spec]) => vegaEmbed(`#chart-${name}`, spec, options)))
    .then((drawn) => {
      root.dataset.drawn = "yes";
      // On paper the columns are as wide as the paper makes them, whatever the window was: else labels are scaled with the charts.
      window.addEventListener("beforeprint", () => {
        for (const { view } of drawn) {
          const card = view.container().closest(".card");
          const whole = getComputedStyle(card).gridColumnEnd === "-1";
          view.width(card.matches(".small") ? 200 : whole ? 690 : 325).run();
        }
      });
      window.addEventListener("afterprint", () => window.dispatchEvent(new Event("resize")));
    });
}
