// A picture of the report: what it shows, as numbers, and how gnuplot draws it, as SVG for the page
// or as PNG.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace tovamill {

struct PicturePoint {
  double x = 0.0, y = 0.0;
  double error = std::numeric_limits<double>::quiet_NaN();  // standard error of y, if there is one
};

// A curve. Points that cannot be drawn (not finite; not positive on a logarithmic axis) are left
// out.
struct PictureSeries {
  std::string label;  // any text; what a plot cannot be trusted with is drawn as '?'
  enum class Kind { line, points, line_and_points, level, boxes } kind = Kind::line_and_points;
  std::vector<PicturePoint> points;  // of a level its y alone; boxes are stacked on those before
  int colour = 0;                    // its place in the palette
};

// A cell for each row and column, coloured by its value; NaN is empty.
struct PictureMatrix {
  std::size_t n_rows = 0, n_columns = 0;
  std::vector<double> values;  // (n_rows, n_columns); none: the picture has curves
  std::string label;           // of the values
  double most = 0.0;           // the value of the last colour; 0: the greatest
};

struct Picture {
  std::string name;  // of its file, and in the page: lower case letters, digits and dashes
  std::string title, description;
  std::string x_label, y_label;
  bool x_is_log = false, y_is_log = false, y_from_zero = false;
  double box_width = 0.8;  // in units of x
  // Where ticks are and what stands at them, a line break in it as \n; none: as gnuplot chooses.
  std::vector<std::pair<double, std::string>> x_ticks;
  std::vector<std::pair<double, std::string>> y_ticks;  // of a matrix, the same
  double x_margin = 0.0;  // room beside the outermost points, in units of x
  std::vector<PictureSeries> series;
  PictureMatrix matrix;

  bool has_points() const;
};

// The places of the palette; curves beyond repeat it with other dashes. Points go by a list of
// their own.
inline constexpr int kPaletteSize = 8;
inline constexpr std::size_t kDashes = 4, kPointTypes = 6;

enum class PictureFormat { svg, png };

// What gnuplot is told. Only numbers and harmless characters of the labels get into it.
std::string gnuplot_script(const Picture& picture, PictureFormat format);

// `svg` as gnuplot wrote it, as part of a page: names of its own, the title and the description of
// the picture, colours as the page's CSS variables (--ink, --paper, --grid, --s0 to --s7).
std::string page_svg(const std::string& svg, const Picture& picture);

// Draws with the program gnuplot. Throws Error(no_device) where it is not installed, Error(io) with
// its words where it fails.
std::string draw_svg(const Picture& picture);
std::string draw_png(const Picture& picture);

}  // namespace tovamill
