#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "io/results/csv.h"
#include "pipeline/report/picture.h"

namespace tovamill {
namespace {

// Of a picture, in CSS pixels: small enough that its letters can be read on a telephone.
constexpr int kWidth = 520, kHeight = 360;
constexpr int kPngScale = 3;
constexpr std::size_t kLongestLabel = 80;  // bytes drawn of a label
constexpr int kKeyRow = 18;                // height of a row of a PNG's key
constexpr std::size_t kMostErrorBars = 6;  // curves; more of them would hide each other

// Okabe and Ito's colours, which the colour-blind tell apart, darker where paper is white.
constexpr std::array<const char*, kPaletteSize> kColours{
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7b3294", "#4d4d4d"};
constexpr std::array<int, kPointTypes> kPoints{7, 5, 9, 13, 11, 6};
// Viridis at nine places.
constexpr const char* kPalette =
    "0 '#440154', 1 '#472d7b', 2 '#3b528b', 3 '#2c728e', 4 '#21918c', 5 '#28ae80', 6 '#5ec962', "
    "7 '#addc30', 8 '#fde725'";

// In SVG colours are names for page_svg: #0102nn.
std::string colour(PictureFormat format, int place, const char* png) {
  if (format == PictureFormat::png) return "rgb '" + std::string(png) + "'";
  char name[16];
  std::snprintf(name, sizeof name, "#0102%02x", static_cast<unsigned>(place) & 0xFF);
  return "rgb '" + std::string(name) + "'";
}
std::string ink(PictureFormat f) { return colour(f, 3, "#222222"); }
std::string grid(PictureFormat f) { return colour(f, 4, "#dddddd"); }
std::string of_series(PictureFormat f, int i) {
  const int place = i % kPaletteSize;
  return colour(f, 16 + place, kColours[static_cast<std::size_t>(place)]);
}

// A text of gnuplot: single quotes know no escapes, back quotes or variables but two single quotes
// for one, which is not let in.
std::string plot_text(std::string_view text) {
  constexpr std::string_view kAlso = " .,:;+-=/()%[]<>_*#|";
  std::string out = "'";
  for (const char c : text.substr(0, kLongestLabel)) {
    const bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                          (c >= 'A' && c <= 'Z') || kAlso.find(c) != std::string_view::npos;
    out += is_plain ? c : '?';
  }
  return out + "'";
}

// Double quotes, for the line break of a tick.
std::string tick_text(std::string_view text) {
  std::string out;
  for (const char c : plot_text(text)) out += c;
  const std::size_t n = out.size();
  return "\"" + out.substr(1, n - 2) + "\"";
}

bool can_be_drawn(const Picture& p, const PicturePoint& point) {
  return std::isfinite(point.x) && std::isfinite(point.y) && !(p.x_is_log && point.x <= 0.0) &&
         !(p.y_is_log && point.y <= 0.0);
}

std::string data_block(const Picture& p, const PictureSeries& s, std::size_t i,
                       std::vector<double>& stacked) {
  std::string out = "$d" + std::to_string(i) + " << EOD\n";
  for (std::size_t k = 0; k < s.points.size(); ++k) {
    PicturePoint point = s.points[k];
    if (s.kind == PictureSeries::Kind::boxes) {
      stacked.resize(std::max(stacked.size(), k + 1));
      point.y = stacked[k] += std::isfinite(point.y) ? point.y : 0.0;
    }
    if (can_be_drawn(p, point)) out += digits(point.x) + " " + digits(point.y) + "\n";
  }
  return out + "EOD\n";
}

// A line for each, which gnuplot's own error bars would break at its point.
std::string error_block(const Picture& p, const PictureSeries& s, std::size_t i) {
  std::string out = "$e" + std::to_string(i) + " << EOD\n";
  for (const PicturePoint& point : s.points) {
    const PicturePoint low{point.x, point.y - point.error}, high{point.x, point.y + point.error};
    if (!can_be_drawn(p, point) || !can_be_drawn(p, high)) continue;
    out += digits(point.x) + " " + digits(can_be_drawn(p, low) ? low.y : point.y) + "\n" +
           digits(high.x) + " " + digits(high.y) + "\n\n";
  }
  return out + "EOD\n";
}

bool has_errors(const PictureSeries& s) {
  return std::any_of(s.points.begin(), s.points.end(),
                     [](const PicturePoint& p) { return std::isfinite(p.error) && p.error > 0.0; });
}

std::string curve(const PictureSeries& s, std::size_t i, PictureFormat format, bool with_errors) {
  using Kind = PictureSeries::Kind;
  const std::string data = "$d" + std::to_string(i), title = " title " + plot_text(s.label);
  const std::string line =
      " linecolor " + of_series(format, s.colour) + " linewidth 1.6 dashtype " +
      std::to_string(1 + (s.colour / kPaletteSize) % static_cast<int>(kDashes));
  const int type = kPoints[static_cast<std::size_t>(s.colour) % kPointTypes];
  const std::string points = " pointtype " + std::to_string(type) + " pointsize 0.6";
  if (s.kind == Kind::level)
    return digits(s.points.empty() ? 0.0 : s.points.front().y) + " with lines linecolor " +
           of_series(format, s.colour) + " linewidth 1.6 dashtype 2" + title;
  if (s.kind == Kind::boxes)
    return data + " using 1:2 with boxes fillstyle solid 1.0 noborder linecolor " +
           of_series(format, s.colour) + title;
  std::string out;
  if (with_errors && has_errors(s))
    out = "$e" + std::to_string(i) + " using 1:2 with lines linecolor " +
          of_series(format, s.colour) + " linewidth 1.6 notitle, ";
  if (s.kind == Kind::line) return out + data + " using 1:2 with lines" + line + title;
  const std::string as_points = data + " using 1:2 with points" + line + points;
  if (s.kind == Kind::points) return out + as_points + title;
  return out + data + " using 1:2 with lines" + line + " notitle, " + as_points + title;
}

std::string ticks_text(const std::vector<std::pair<double, std::string>>& ticks) {
  std::string out;
  for (const auto& [at, label] : ticks) {
    std::string text;
    std::string_view left = label;
    for (std::size_t end = left.find('\n'); end != std::string_view::npos; end = left.find('\n')) {
      const std::string line = tick_text(left.substr(0, end));
      text += line.substr(1, line.size() - 2) + "\\n";
      left.remove_prefix(end + 1);
    }
    const std::string line = tick_text(left);
    out += std::string(out.empty() ? "" : ", ") + "\"" + text + line.substr(1) + " " + digits(at);
  }
  return out;
}

std::string axes(const Picture& p, PictureFormat f) {
  std::string out = "set border 3 linecolor " + ink(f) + "\n";
  out += "set tics nomirror scale 0.5 textcolor " + ink(f) + "\n";
  out += "set grid ytics linecolor " + grid(f) + " linewidth 1 dashtype 1\n";
  const bool has_two_lines = std::any_of(p.x_ticks.begin(), p.x_ticks.end(), [](const auto& tick) {
    return tick.second.find('\n') != std::string::npos;
  });
  out += "set xlabel " + plot_text(p.x_label) + " textcolor " + ink(f) +
         (has_two_lines ? " offset 0,-1\nset bmargin 5\n" : "\n");
  out += "set ylabel " + plot_text(p.y_label) + " textcolor " + ink(f) + "\n";
  if (p.x_is_log) out += "set logscale x 2\nset format x '%.0f'\n";
  if (p.y_is_log) out += "set logscale y 2\nset format y '%g'\n";
  if (p.x_ticks.empty()) return out;
  return out + "set xtics (" + ticks_text(p.x_ticks) + ")\n";
}

std::string of_matrix(const Picture& p, PictureFormat f) {
  const PictureMatrix& m = p.matrix;
  std::string out = "set palette defined (" + std::string(kPalette) + ") maxcolors 32\n";
  double most = m.most;
  for (const double v : m.values)
    most = m.most == 0.0 && std::isfinite(v) ? std::max(most, v) : most;
  out += "set cbrange [0:" + digits(most > 0.0 ? most : 1.0) + "]\n";
  out += "set cblabel " + plot_text(m.label) + " textcolor " + ink(f) + "\n";
  out += "unset grid\nunset key\n";
  out += "set xrange [-0.5:" + digits(static_cast<double>(m.n_columns) - 0.5) + "]\n";
  out += "set yrange [" + digits(static_cast<double>(m.n_rows) - 0.5) + ":-0.5]\n";
  if (p.y_ticks.empty())
    out += "set ytics 0," + std::to_string(1 + m.n_rows / 12) + "\n";
  else
    out += "set ytics (" + ticks_text(p.y_ticks) + ")\n";
  out += "$m << EOD\n";
  for (std::size_t r = 0; r < m.n_rows; ++r) {
    for (std::size_t c = 0; c < m.n_columns; ++c) {
      const double v = m.values[r * m.n_columns + c];
      out += std::to_string(c) + " " + std::to_string(r) + " " +
             (std::isfinite(v) ? digits(v) : "NaN") + "\n";
    }
  }
  return out + "EOD\nplot $m using 1:2:3 with image notitle\n";
}

std::size_t n_named(const Picture& p) {
  return static_cast<std::size_t>(std::count_if(
      p.series.begin(), p.series.end(), [](const PictureSeries& s) { return !s.label.empty(); }));
}

std::string of_curves(const Picture& p, PictureFormat f) {
  // The page has a legend of its own.
  std::string out =
      f == PictureFormat::svg || n_named(p) < 2
          ? std::string("unset key\n")
          : "set key above left Left reverse maxcols 1 samplen 2 textcolor " + ink(f) + "\n";
  const bool has_boxes = std::any_of(p.series.begin(), p.series.end(), [](const auto& s) {
    return s.kind == PictureSeries::Kind::boxes;
  });
  if (has_boxes) out += "set boxwidth " + digits(p.box_width) + "\n";
  if (p.y_from_zero) out += "set yrange [0:*]\n";
  double low = std::numeric_limits<double>::infinity(), high = -low;
  std::vector<double> stacked;
  std::string plots;
  for (std::size_t i = 0; i < p.series.size(); ++i) {
    const PictureSeries& s = p.series[i];
    for (const PicturePoint& point : s.points) {
      if (s.kind == PictureSeries::Kind::level || !can_be_drawn(p, point)) continue;
      low = std::min(low, point.x), high = std::max(high, point.x);
    }
    if (s.kind != PictureSeries::Kind::level) out += data_block(p, s, i, stacked);
    if (has_errors(s)) out += error_block(p, s, i);
    // Stacked boxes hide what lies behind them: the last, highest ones come first.
    const bool stand_apart = s.kind == PictureSeries::Kind::points;
    const std::string one = curve(s, i, f, stand_apart || p.series.size() <= kMostErrorBars);
    plots = plots.empty() ? one : has_boxes ? one + ", " + plots : plots + ", " + one;
  }
  if (!(low <= high)) low = 1.0, high = 1.0;
  if (p.x_is_log)
    out += "set xrange [" + digits(low / 1.25) + ":" + digits(high * 1.25) + "]\n";
  else if (p.x_margin > 0.0 || low == high)
    out += "set xrange [" + digits(low - std::max(p.x_margin, 0.5)) + ":" +
           digits(high + std::max(p.x_margin, 0.5)) + "]\n";
  return out + "plot " + plots + "\n";
}

}  // namespace

bool Picture::has_points() const {
  if (!matrix.values.empty()) {
    return std::any_of(matrix.values.begin(), matrix.values.end(),
                       [](double v) { return std::isfinite(v); });
  }
  return std::any_of(series.begin(), series.end(), [&](const PictureSeries& s) {
    return std::any_of(s.points.begin(), s.points.end(), [&](const PicturePoint& point) {
      return s.kind != PictureSeries::Kind::level && can_be_drawn(*this, point);
    });
  });
}

std::string gnuplot_script(const Picture& p, PictureFormat f) {
  std::string out = "set encoding utf8\n";
  if (f == PictureFormat::svg) {
    out += "set terminal svg size " + std::to_string(kWidth) + "," + std::to_string(kHeight) +
           " font 'sans,13' noenhanced\n";
  } else {
    const std::string scale = std::to_string(kPngScale);
    const int height = kHeight + (n_named(p) < 2 ? 0 : kKeyRow * static_cast<int>(n_named(p)));
    out += "set terminal pngcairo size " + std::to_string(kPngScale * kWidth) + "," +
           std::to_string(kPngScale * height) + " font 'sans,10' fontscale " + scale +
           " linewidth " + scale + " pointscale " + scale + " noenhanced\n";
  }
  out += "set pointintervalbox 0\nset samples 2\n" + axes(p, f);
  return out + (p.matrix.values.empty() ? of_curves(p, f) : of_matrix(p, f));
}

}  // namespace tovamill
