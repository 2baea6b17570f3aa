(() => {
  "use strict";
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const heat = () => [
    [0, colour("--heat-none")], [0.2, colour("--heat-some")],
    [0.5, colour("--heat-much")], [1, colour("--heat-most")],
  ];

  const dress = (trace) => {
    const copy = structuredClone(trace);
    if (copy.meta === "heat") {
      copy.colorscale = heat();
      return copy;
    }
    const paint = colour("--" + copy.meta);
    copy.marker = { ...copy.marker, color: paint };
    copy.line = { ...copy.line, color: paint };
    if (copy.error_y) copy.error_y.color = paint;
    return copy;
  };

  const axis = (given) => ({
    gridcolor: colour("--grid"), zerolinecolor: colour("--grid"),
    linecolor: colour("--grid"), automargin: true, ...given,
  });

  const draw = () => {
    for (const plot of plots) {
      const place = document.getElementById("plot-" + plot.id);
      if (!place) continue;
      const layout = {
        height: 320,
        margin: { l: 60, r: 16, t: 12, b: 44 },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: colour("--text"), family: "system-ui, sans-serif", size: 12 },
        hoverlabel: { bgcolor: colour("--card"), font: { color: colour("--text") } },
        legend: { orientation: "h", yanchor: "bottom", y: 1.03, x: 0 },
        ...plot.layout,
      };
      layout.xaxis = axis(layout.xaxis);
      layout.yaxis = axis(layout.yaxis);
      Plotly.react(place, plot.data.map(dress), layout, { displayModeBar: false, responsive: true });
    }
  };

  draw();
  dark.addEventListener("change", draw);
})();
