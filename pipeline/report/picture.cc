#include "pipeline/report/picture.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <string_view>

#include "kernels/types/error.h"
#include "pipeline/report/child_program.h"
#include "pipeline/report/html.h"

namespace tovamill {
namespace {

constexpr std::chrono::seconds kLimit(60);      // a picture takes a tenth of a second
constexpr std::size_t kLongestComplaint = 200;  // bytes

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

void remove_between(std::string& text, std::string_view begin, std::string_view end) {
  for (std::size_t at = text.find(begin); at != std::string::npos; at = text.find(begin, at)) {
    const std::size_t last = text.find(end, at);
    if (last == std::string::npos) return;
    text.erase(at, last + end.size() - at);
  }
}

// "rgb(  1,   2,  17)" and "rgb(1,2,17)" by the name that gnuplot_script gave them.
void name_colours(std::string& text) {
  for (std::size_t at = text.find("rgb("); at != std::string::npos;
       at = text.find("rgb(", at + 1)) {
    const std::size_t end = text.find(')', at);
    int red = 0, green = 0, blue = 0;
    if (end == std::string::npos) return;
    if (std::sscanf(text.c_str() + at, "rgb(%d ,%d ,%d", &red, &green, &blue) != 3) continue;
    if (red != 1 || green != 2) continue;
    const std::string name = blue == 3   ? "ink"
                             : blue == 4 ? "grid"
                                         : "s" + std::to_string(blue - 16);
    text.replace(at, end + 1 - at, "var(--" + name + ")");
  }
}

// Groups that draw nothing are half of what gnuplot writes.
void remove_empty_groups(std::string& text) {
  for (std::size_t end = text.find("</g>"); end != std::string::npos;) {
    std::size_t last = text.find_last_not_of(" \t\n", end - 1);
    const std::size_t begin = text.rfind('<', end - 1);
    if (last != std::string::npos && text[last] == '>' && begin != std::string::npos &&
        text.compare(begin, 2, "<g") == 0 && text.find('>', begin) == last) {
      text.erase(begin, end + 4 - begin);
      end = text.find("</g>", begin);
    } else {
      end = text.find("</g>", end + 4);
    }
  }
}

void remove_blank_lines(std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::size_t first = text.find_first_not_of(" \t", at);
    if (first < end) out.append(text, first, end - first).append("\n");
    at = end + 1;
  }
  text = std::move(out);
}

std::string first_line_of(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const bool is_blank = static_cast<unsigned char>(c) <= ' ';
    if (!is_blank)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  return shortened(line, kLongestComplaint);
}

std::string draw(const Picture& picture, PictureFormat format, std::string_view begins) {
  // -d: without the files that begin a session of the user's or the system's.
  const ChildResult result =
      run_child({"gnuplot", "-d"}, gnuplot_script(picture, format), kLimit, "gnuplot-nox");
  if (result.timed_out)
    throw Error(ExitCode::io, "gnuplot did not draw " + picture.name + " within " +
                                  std::to_string(kLimit.count()) + " s and was ended");
  if (result.exit_code != 0 || !std::string_view(result.out).starts_with(begins))
    throw Error(ExitCode::io, "gnuplot could not draw " + picture.name + " (exit code " +
                                  std::to_string(result.exit_code) +
                                  "): " + first_line_of(result.err));
  return result.out;
}

}  // namespace

std::string page_svg(const std::string& svg, const Picture& picture) {
  const std::size_t begin = svg.find("<svg"), end = svg.rfind("</svg>");
  const std::size_t body = begin == std::string::npos ? begin : svg.find('>', begin);
  const std::size_t box = svg.find("viewBox=\"");
  if (body == std::string::npos || end == std::string::npos || end < body || box > body)
    throw Error(ExitCode::io, "gnuplot wrote no SVG for " + picture.name);
  const std::string view_box = svg.substr(box, svg.find('"', box + 9) + 1 - box);
  std::string text = svg.substr(body + 1, end - body - 1);
  remove_between(text, "<title>", "</title>");
  remove_between(text, "<desc>", "</desc>");
  remove_between(text, "<filter", "</filter>");
  remove_between(text, "<rect x=\"0\" y=\"0\"", "/>");  // the ground, which is the page's
  const std::string prefix = picture.name + "-";
  replace_all(text, "xlink:href=", "href=");
  replace_all(text, "id='gp", "id='" + prefix + "gp");
  replace_all(text, "'#gp", "'#" + prefix + "gp");
  replace_all(text, "id=\"gnuplot_", "id=\"" + prefix);
  name_colours(text);
  constexpr std::array<std::pair<const char*, const char*>, 8> kNamed{
      {{"\"black\"", "\"var(--ink)\""},
       {"'black'", "'var(--ink)'"},
       {"\"#FFFFFF\"", "\"var(--paper)\""},
       {"'#FFFFFF'", "'var(--paper)'"},
       {"\"white\"", "\"var(--paper)\""},
       {"'white'", "'var(--paper)'"},
       {" stroke-linecap=\"butt\" stroke-linejoin=\"miter\"", ""},
       {" font-family=\"sans\"", ""}}};
  for (const auto& [from, to] : kNamed) replace_all(text, from, to);
  remove_empty_groups(text);
  remove_blank_lines(text);
  return "<svg " + view_box + " role=\"img\" aria-labelledby=\"" + prefix + "title " + prefix +
         "description\">\n<title id=\"" + prefix + "title\">" + escaped(picture.title) +
         "</title>\n<desc id=\"" + prefix + "description\">" + escaped(picture.description) +
         "</desc>\n" + text + "</svg>\n";
}

std::string draw_svg(const Picture& picture) {
  return page_svg(draw(picture, PictureFormat::svg, "<?xml"), picture);
}

std::string draw_png(const Picture& picture) {
  return draw(picture, PictureFormat::png, "\x89PNG\r\n");
}

}  // namespace tovamill
