#include "pipeline/report/report.h"

#include <array>
#include <fstream>
#include <set>
#include <string_view>
#include <utility>

#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "pipeline/report/sections.h"
#include "pipeline/report/style.h"

namespace tovamill {
namespace {

// No page of this program begins otherwise. The policy lets nothing be loaded from anywhere.
constexpr std::string_view kFront =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
    "<meta name=\"generator\" content=\"tovamill report\"/>\n";
constexpr const char* kHead =
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'; img-src data:\"/>\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
    "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
    "<link rel=\"icon\" href=\"data:,\"/>\n";

// What tells the PNG of a report from others: a text chunk behind the header, with its length and
// CRC (PNG, 5.3): tEXt, "Software", "tovamill report".
constexpr std::size_t kPngHeaderBytes = 33;  // signature and IHDR
constexpr std::string_view kPngMark(
    "\x00\x00\x00\x18tEXtSoftware\x00tovamill report\x95\xad\xcb\x43", 36);

std::string with_mark(std::string png) {
  if (png.size() < kPngHeaderBytes) throw Error(ExitCode::io, "gnuplot wrote no PNG");
  return png.insert(kPngHeaderBytes, kPngMark);
}

std::string front_of(const std::string& path, std::size_t n_bytes) {
  std::ifstream file(path, std::ios::binary);
  std::string front(n_bytes, '\0');
  file.read(front.data(), static_cast<std::streamsize>(n_bytes));
  front.resize(static_cast<std::size_t>(file.gcount()));
  return front;
}

// What stands for a curve: gnuplot's points and lines, as characters.
std::string mark_of(const PictureSeries& s) {
  using Kind = PictureSeries::Kind;
  constexpr std::array<const char*, kPointTypes> kPoints{"\xE2\x97\x8F", "\xE2\x96\xA0",
                                                         "\xE2\x96\xB2", "\xE2\x97\x86",
                                                         "\xE2\x96\xBC", "\xE2\x97\x8B"};
  constexpr std::array<const char*, kDashes> kLines{"\xE2\x94\x81", "\xE2\x94\x85", "\xE2\x94\x89",
                                                    "\xE2\x95\x8D"};
  if (s.kind == Kind::level) return kLines[1];
  if (s.kind == Kind::boxes) return kPoints[1];
  if (s.kind == Kind::line)
    return kLines[static_cast<std::size_t>(s.colour / kPaletteSize) % kDashes];
  return kPoints[static_cast<std::size_t>(s.colour) % kPointTypes];
}

std::string legend(const Picture& picture) {
  if (picture.series.size() < 2) return "";
  std::string html = "<ul class=\"legend\">\n";
  for (const PictureSeries& s : picture.series)
    html += "<li><span class=\"c" + std::to_string(s.colour % kPaletteSize) +
            "\" aria-hidden=\"true\">" + mark_of(s) + "</span> " + escaped(s.label) + "</li>\n";
  return html + "</ul>\n";
}

std::string figure_html(const Picture& picture, const HtmlTable& table, const std::string& svg,
                        bool is_described) {
  return "<figure id=\"picture-" + picture.name + "\">\n<h3>" + escaped(picture.title) + "</h3>\n" +
         svg + legend(picture) +
         (is_described ? "<figcaption>" + escaped(picture.description) + "</figcaption>\n" : "") +
         details("Numbers of this picture", table.html()) + "</figure>\n";
}

std::vector<ReportSection> sections_of(const Settings& settings, const MakeFigure& figure) {
  std::vector<ReportSection> sections{summary_section(settings),
                                      probe_section(settings, figure),
                                      size_section(settings, figure),
                                      position_section(settings, figure),
                                      survivor_section(settings, figure),
                                      lifetime_section(settings, figure),
                                      class_section(settings, figure),
                                      document_section(settings, figure),
                                      text_section(settings, figure),
                                      speed_section(settings, figure),
                                      option_section(settings)};
  std::erase_if(sections, [](const ReportSection& s) { return s.html.empty(); });
  return sections;
}

std::string header_of(const Settings& settings, const std::vector<ReportSection>& sections) {
  std::set<std::string> models, programs;
  for (const ReportSetting& s : settings) {
    models.insert(text_attribute(s.attributes, "model"));
    programs.insert(text_attribute(s.attributes, "program_version") + " " +
                    text_attribute(s.attributes, "git_hash"));
  }
  const auto joined = [](const std::set<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts) all += (all.empty() ? "" : "; ") + text;
    return all;
  };
  std::string html = "<header>\n<h1>Report of tovamill</h1>\n" +
                     paragraph(counted(settings.size(), "setting") + " of " + joined(models) +
                               ". Computed by tovamill " + joined(programs) + ".");
  html += "<nav aria-label=\"Sections\"><ul>\n";
  for (const ReportSection& s : sections)
    html += "<li><a href=\"#" + s.id + "\">" + escaped(s.title) + "</a></li>\n";
  return html + "</ul></nav>\n</header>\n";
}

}  // namespace

ReportPage make_report(const std::vector<ReportSetting>& settings, bool with_png) {
  ReportPage report;
  std::string described;  // of several pictures of a kind only the first says what they show
  const MakeFigure figure = [&](const Picture& picture, const HtmlTable& table) -> std::string {
    if (!picture.has_points()) return "";
    if (with_png) report.pictures.push_back({picture.name, with_mark(draw_png(picture))});
    const bool is_described = std::exchange(described, picture.description) != picture.description;
    return figure_html(picture, table, draw_svg(picture), is_described);
  };
  const std::vector<ReportSection> sections = sections_of(settings, figure);
  report.html = std::string(kFront) + kHead + "<title>Report of tovamill</title>\n<style>" +
                kReportStyle + "</style>\n</head>\n<body>\n" +
                "<a class=\"skip\" href=\"#summary\">To the summary</a>\n" +
                header_of(settings, sections) + "<main>\n";
  for (const ReportSection& s : sections)
    report.html += "<section id=\"" + s.id + "\" aria-labelledby=\"" + s.id + "-h\">\n<h2 id=\"" +
                   s.id + "-h\">" + escaped(s.title) + "</h2>\n<div class=\"pictures\">\n" +
                   s.html + "</div>\n</section>\n";
  report.html += "</main>\n</body>\n</html>\n";
  return report;
}

bool is_report_file(const std::string& path) { return front_of(path, kFront.size()) == kFront; }

bool is_report_picture(const std::string& path) {
  const std::string front = front_of(path, kPngHeaderBytes + kPngMark.size());
  return front.starts_with("\x89PNG\r\n") && front.ends_with(kPngMark);
}

}  // namespace tovamill
