// What every page does: shows what needs a script and where one is, keeps the theme, closes menus.

for (const each of document.querySelectorAll("[data-needs-script]")) each.hidden = false;
for (const each of document.querySelectorAll("[data-needs-no-script]")) each.hidden = true;

// On a phone the pages' names are one line that is wider than the screen.
document.querySelector("nav [aria-current=page]")?.scrollIntoView({ inline: "center", block: "nearest" });

const theme = document.getElementById("theme");
theme?.addEventListener("change", () => {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  // The server writes the theme into the page, so that no page begins in the other one.
  document.cookie = `wireroom_theme=${theme.value}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  if (theme.value) document.documentElement.dataset.theme = theme.value;
  else delete document.documentElement.dataset.theme;
});

for (const menu of document.querySelectorAll("details.menu")) {
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
}
