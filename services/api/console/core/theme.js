// Dark, light, or as the system says.
const KEPT = "ctrlplane.theme";
const WAYS = ["system", "light", "dark"];

export const theme = () => (WAYS.includes(localStorage.getItem(KEPT)) ? localStorage.getItem(KEPT) : "system");

export function apply() {
  if (theme() === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme();
}

/** The next of the three. */
export function turn() {
  localStorage.setItem(KEPT, WAYS[(WAYS.indexOf(theme()) + 1) % WAYS.length]);
  apply();
  return theme();
}
