// Moves and zooms the view; while the pointer is on a node, the edges of others are faded.
(function () {
  var svg = document.querySelector("svg"), all = svg.viewBox.baseVal;
  var whole = [all.x, all.y, all.width, all.height], view = whole.slice();
  svg.removeAttribute("width");
  svg.removeAttribute("height");
  svg.querySelector(".page").remove();
  function show() { svg.setAttribute("viewBox", view.join(" ")); }
  function scale() { return Math.max(view[2] / svg.clientWidth, view[3] / svg.clientHeight); }
  svg.addEventListener("wheel", function (event) {
    event.preventDefault();
    var point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    var wanted = view[2] * (event.deltaY > 0 ? 1.15 : 1 / 1.15);
    var factor = Math.min(Math.max(wanted, whole[2] / 40), whole[2] * 4) / view[2];
    view = [
      point.x - (point.x - view[0]) * factor, point.y - (point.y - view[1]) * factor,
      view[2] * factor, view[3] * factor
    ];
    show();
  }, { passive: false });
  svg.addEventListener("pointermove", function (event) {
    if (event.buttons !== 1) { return; }
    view[0] -= event.movementX * scale();
    view[1] -= event.movementY * scale();
    show();
  });
  svg.addEventListener("dblclick", function () { view = whole.slice(); show(); });
  var edges = Array.prototype.slice.call(svg.querySelectorAll("[data-source]"));
  svg.querySelectorAll("[data-id]").forEach(function (node) {
    function fade(on) {
      edges.forEach(function (edge) {
        var touches = edge.dataset.source === node.dataset.id || edge.dataset.target === node.dataset.id;
        edge.classList.toggle("faded", on && !touches);
      });
    }
    node.addEventListener("pointerenter", function () { fade(true); });
    node.addEventListener("pointerleave", function () { fade(false); });
  });
})();
