// The part of an address after `#` is known to the browser alone. MLflow's pages live there, so it goes along into the
// sign-in, and with a single provider the sign-in goes on by itself.
(function () {
  "use strict";
  var links = document.querySelectorAll("a[data-start]");
  links.forEach(function (link) {
    var address = new URL(link.href);
    var back = address.searchParams.get("return_to") || "/";
    if (window.location.hash.length > 1 && back.indexOf("#") < 0) {
      address.searchParams.set("return_to", back + window.location.hash);
      link.href = address.href;
    }
  });
  if (links.length === 1 && document.querySelector("[data-go]")) {
    window.location.replace(links[0].href);
  }
})();
