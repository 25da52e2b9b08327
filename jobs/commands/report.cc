// tovamill report: runs as one page of tables and pictures.
#include "pipeline/report/report.h"

#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "io/files/output_file.h"
#include "jobs/commands/commands.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "pipeline/results/results_file.h"
#include "pipeline/run_directory/run_report.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

OutputRules page_rules(const InputFiles& inputs) {
  return {.option = "--output",
          .kind = "a page of tovamill report",
          .is_ours = is_report_file,
          .inputs = &inputs};
}
OutputRules picture_rules(const InputFiles& inputs) {
  return {.option = "--png",
          .kind = "a picture of tovamill report",
          .is_ours = is_report_picture,
          .inputs = &inputs};
}

std::vector<ReportSetting> settings_of(const std::string& operand, const std::string& results) {
  std::vector<ReportSetting> settings = read_settings(results);
  std::error_code ignored;
  if (!fs::is_regular_file(fs::path(operand) / "status.json", ignored)) return settings;
  for (ReportSetting& s : settings) s.status = read_run_report(operand, this_machine());
  return settings;
}

void write_file(const std::string& path, const OutputRules& rules, const std::string& bytes) {
  OutputFile output(path, rules);
  output.stream() << bytes;
  output.commit();
}

std::string picture_path(const std::string& directory, const ReportPicture& picture) {
  return (fs::path(directory) / (picture.name + ".png")).string();
}

// All of them are checked before the first is written.
void write_all_of(const ReportPage& report, const std::string& output, const std::string& png,
                  const InputFiles& inputs) {
  for (const ReportPicture& p : report.pictures)
    check_output(picture_path(png, p), picture_rules(inputs));
  write_file(output, page_rules(inputs), report.html);
  for (const ReportPicture& p : report.pictures)
    write_file(picture_path(png, p), picture_rules(inputs), p.png);
}

void make_directory(const std::string& directory) {
  std::error_code error;
  if (fs::is_directory(directory, error)) return;
  if (!fs::create_directory(directory, error))
    throw Error(ExitCode::cannot_create,
                "--png " + directory + ": " +
                    (error ? error.message() : std::string("is not a directory")));
}

int run_report(const Request& request) {
  const std::string &output = request.extras.at("output"), &png = request.extras.at("png");
  std::vector<ReportSetting> settings;
  InputFiles inputs;
  for (const std::string& operand : request.operands) {
    const std::string results = results_of_operand(operand);
    inputs.add("the file of results", results);
    for (const std::string& file : corpus_files_of(results))
      inputs.add("a corpus file of the run", file);
    for (ReportSetting& s : settings_of(operand, results)) settings.push_back(std::move(s));
  }
  check_output(output, page_rules(inputs));
  if (!png.empty()) make_directory(png);
  name_settings(settings);
  const ReportPage report = make_report(settings, !png.empty());
  write_all_of(report, output, png, inputs);
  InputFiles page;
  page.add("the page", output);
  if (!page.name_of(STDOUT_FILENO).empty()) return 0;
  std::cout << row("report", output + ", " + human_bytes(report.html.size()) + ", " +
                                 counted(settings.size(), "setting"));
  if (!png.empty())
    std::cout << row("pictures", png + ", " + counted(report.pictures.size(), "picture"));
  return 0;
}

}  // namespace

Subcommand report_command() {
  Subcommand command;
  command.name = "report";
  command.synopsis = "DIR|results.h5... [--output FILE] [--png DIR]";
  command.summary = "runs as one page of tables and pictures";
  command.introduction =
      "Writes one HTML file that needs nothing else: a table of the settings, perplexity against\n"
      "the size of the state, NLL by position (of runs with --nll-by-position or --token-nll),\n"
      "age of survivors, lifetimes, also by class of token (of runs with --analyze), documents "
      "and\n"
      "texts, speed and failures, every option. Each run, and each\n"
      "setting of a sweep, is one setting, named by what it differs in. The pictures are drawn by\n"
      "gnuplot (package gnuplot-nox).\n";
  command.examples =
      "  tovamill report run1\n"
      "  tovamill report tova-256 tova-512 full --output compare.html --png pictures\n";
  command.extras = {{"output", "FILE", "report.html", "the page"},
                    {"png", "DIR", "", "the pictures as PNG files there, too"}};
  command.operand = "DIR|FILE";
  command.takes_many = true;
  command.run = run_report;
  return command;
}

}  // namespace tovamill
