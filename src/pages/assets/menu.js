// MLflow's account menu offers to log out where people sign in with a password, and nowhere else. This adds a way out of the
// session here. Where there is no such menu, nothing is added.
(function () {
  "use strict";
  var OURS = "data-trackgate";
  function leave() {
    window.location.assign("/trackgate/logout");
  }
  function item(model) {
    var added = model.cloneNode(false);
    Array.prototype.slice.call(added.attributes).forEach(function (attribute) {
      if (attribute.name !== "class" && attribute.name !== "role") {
        added.removeAttribute(attribute.name);
      }
    });
    added.setAttribute(OURS, "sign-out");
    added.setAttribute("role", "menuitem");
    added.tabIndex = -1;
    added.textContent = "Sign out";
    added.addEventListener("click", leave);
    added.addEventListener("pointermove", function () { added.focus(); });
    added.addEventListener("keydown", function (event) {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        leave();
      } else if (event.key === "ArrowUp") {
        event.preventDefault();
        event.stopPropagation();
        var before = added.previousElementSibling;
        if (before) { before.focus(); }
      }
    });
    return added;
  }
  function add() {
    var menus = document.querySelectorAll("[role=menu]");
    Array.prototype.forEach.call(menus, function (menu) {
      if (menu.querySelector("[" + OURS + "]")) { return; }
      var account = menu.querySelector("[data-component-id='mlflow.sidebar.account']");
      if (!account) { return; }
      var added = item(account);
      account.parentNode.appendChild(added);
      menu.addEventListener("keydown", function (event) {
        var last = added.previousElementSibling;
        if (event.key === "End" || (event.key === "ArrowDown" && document.activeElement === last)) {
          event.preventDefault();
          event.stopPropagation();
          added.focus();
        }
      }, true);
    });
  }
  new MutationObserver(add).observe(document.documentElement, { childList: true, subtree: true });
})();
