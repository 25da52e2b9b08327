#include "io/results/hdf5_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::TemporaryDirectory;

// Every kind of object once; `n` columns in pieces of `piece`.
void write_example(const std::string& path, std::uint64_t n, std::uint64_t piece,
                   std::uint64_t expected) {
  Hdf5File file(path, Hdf5File::Mode::create);
  file.create_group("/g");
  file.create_dimension("/g/item", n, "item");
  const std::vector<std::int32_t> rows{0, 1, 2};
  file.create_scale<std::int32_t>("/g/row", rows, "row");
  Hdf5Appender<double> numbers(
      file, "/g/numbers",
      {.long_name = "numbers", .units = "s", .scales = {"/g/item"}, .expected = expected});
  Hdf5Appender<std::int32_t> table(
      file, "/g/table",
      {.long_name = "table", .scales = {"/g/row", "/g/item"}, .expected = expected}, 3);
  Hdf5StringAppender shorts(file, "/g/short",
                            {.long_name = "short", .scales = {"/g/item"}, .expected = expected}, 8);
  Hdf5StringAppender longs(
      file, "/g/long", {.long_name = "long", .scales = {"/g/item"}, .expected = expected}, 5000);
  for (std::uint64_t first = 0; first < n; first += piece) {
    const std::uint64_t m = std::min(piece, n - first);
    std::vector<double> x(m);
    std::vector<std::int32_t> t(3 * m);
    for (std::uint64_t i = 0; i < m; ++i) {
      x[i] = 0.5 * static_cast<double>(first + i);
      for (std::uint64_t row = 0; row < 3; ++row)
        t[row * m + i] = static_cast<std::int32_t>(1000000 * row + first + i);
      shorts.append("\xc3\xa9" + std::to_string(first + i));
      longs.append(std::string((first + i) % 7, 'y'));
    }
    numbers.append(std::span<const double>(x));
    table.append(std::span<const std::int32_t>(t));
  }
  numbers.finish();
  table.finish();
  shorts.finish();
  longs.finish();
  file.set_attribute("/", "text", "\xc3\xa9\nline");
  file.set_attribute("/", "empty", "");
  file.set_attribute("/g", "count", std::int64_t{-7});
  file.set_attribute("/g", "mean", 0.1);
  file.set_attribute("/g", "nan", std::numeric_limits<double>::quiet_NaN());
  file.close();
}

TEST(Hdf5File, ReadsBackWhatWasWritten) {
  TemporaryDirectory d;
  const std::string path = d.path() / "x.h5";
  for (const std::uint64_t n : {0u, 1u, 7u, 20000u, 40001u}) {
    for (const std::uint64_t piece : {1000u, 16384u, 40001u}) {
      write_example(path, n, piece, n % 2 ? n : 0);
      const Hdf5File file(path, Hdf5File::Mode::read);
      ASSERT_EQ(file.shape("/g/numbers"), std::vector<std::uint64_t>{n});
      ASSERT_EQ(file.shape("/g/table"), (std::vector<std::uint64_t>{3, n}));
      const auto numbers = file.read_all<double>("/g/numbers");
      const auto table = file.read_all<std::int32_t>("/g/table");
      const auto shorts = file.read_strings("/g/short", 0, n),
                 longs = file.read_strings("/g/long", 0, n);
      ASSERT_EQ(numbers.size(), n);
      for (std::uint64_t i = 0; i < n; ++i) {
        ASSERT_EQ(numbers[i], 0.5 * static_cast<double>(i));
        for (std::uint64_t row = 0; row < 3; ++row)
          ASSERT_EQ(table[row * n + i], static_cast<std::int32_t>(1000000 * row + i));
        ASSERT_EQ(shorts[i], "\xc3\xa9" + std::to_string(i));
        ASSERT_EQ(longs[i].size(), i % 7);
      }
      if (n > 6) {
        EXPECT_EQ(file.read<double>("/g/numbers", 3, 2), (std::vector<double>{1.5, 2.0}));
        EXPECT_EQ(file.read<std::uint64_t>("/g/numbers", 4, 1), (std::vector<std::uint64_t>{2}));
      }
      EXPECT_THROW(file.read<double>("/g/numbers", n, 1), BadData);
      EXPECT_THROW(file.read_strings("/g/numbers", 0, 0), BadData);
    }
  }
}

TEST(Hdf5File, TakesLongStringsOfManyChunks) {
  TemporaryDirectory d;
  const auto text = [](std::uint64_t i) {
    const std::string longest(i % 9 == 0 ? 900000 : i % 5, static_cast<char>('a' + i % 26));
    return longest + "\xe6\x97\xa5" + std::to_string(i);
  };
  for (const char* name : {"a.h5", "b.h5"}) {
    Hdf5File file(d.path() / name, Hdf5File::Mode::create);
    Hdf5StringAppender strings(file, "/texts", {.long_name = "texts", .scales = {}}, SIZE_MAX);
    for (std::uint64_t i = 0; i < 100; ++i) strings.append(text(i));
    strings.finish();
    file.close();
  }
  const Hdf5File file(d.path() / "a.h5", Hdf5File::Mode::read);
  EXPECT_EQ(file.type_name("/texts"), "string");
  const auto back = file.read_strings("/texts", 0, 100);
  for (std::uint64_t i = 0; i < 100; ++i) ASSERT_TRUE(back[i] == text(i)) << i;
  EXPECT_TRUE(testing::content_of(d.path() / "a.h5") == testing::content_of(d.path() / "b.h5"));
}

TEST(Hdf5File, HasAttributesAndLists) {
  TemporaryDirectory d;
  const std::string path = d.path() / "x.h5";
  write_example(path, 3, 3, 3);
  const Hdf5File file(path, Hdf5File::Mode::read);
  using Values = std::vector<std::pair<std::string, Hdf5Value>>;
  EXPECT_EQ(file.attributes("/"), (Values{{"empty", ""}, {"text", "\xc3\xa9\nline"}}));
  const auto g = file.attributes("/g");
  ASSERT_EQ(g.size(), 3u);
  EXPECT_EQ(g[0].second, Hdf5Value(std::int64_t{-7}));
  EXPECT_EQ(g[1].second, Hdf5Value(0.1));
  EXPECT_TRUE(std::isnan(std::get<double>(g[2].second)));
  const auto dataset = file.attributes("/g/numbers");
  EXPECT_EQ(dataset, (Values{{"long_name", "numbers"}, {"units", "s"}}));
  std::string names;
  for (const auto& o : file.list("/g")) names += o.name + (o.is_group ? "/ " : " ");
  EXPECT_EQ(names, "item long numbers row short table ");
  EXPECT_TRUE(file.list("/").at(0).is_group);
  EXPECT_TRUE(file.exists("/g/row"));
  EXPECT_FALSE(file.exists("/g/none"));
  EXPECT_FALSE(file.exists("/none/none"));
  EXPECT_EQ(file.type_name("/g/table"), "int32");
  EXPECT_EQ(file.type_name("/g/numbers"), "float64");
  EXPECT_EQ(file.type_name("/g/short"), "string of 8 bytes");
  EXPECT_EQ(file.type_name("/g/long"), "string");
}

TEST(Hdf5File, OfEqualContentHasEqualBytes) {
  TemporaryDirectory d;
  const std::string one = d.path() / "one.h5", two = d.path() / "two.h5";
  write_example(one, 30000, 1000, 30000);
  write_example(two, 30000, 777, 30000);
  EXPECT_EQ(testing::content_of(one), testing::content_of(two));
}

TEST(Hdf5File, SaysWhatFailed) {
  TemporaryDirectory d;
  const auto text_of = [](auto&& act) {
    try {
      act();
    } catch (const Error& e) {
      return std::pair(e.code(), std::string(e.what()));
    }
    return std::pair(ExitCode::done, std::string());
  };
  EXPECT_EQ(text_of([&] { Hdf5File(d.path() / "none.h5", Hdf5File::Mode::read); }).first,
            ExitCode::no_input);
  EXPECT_EQ(text_of([&] { Hdf5File(d.write("x.h5", "no HDF5"), Hdf5File::Mode::read); }).first,
            ExitCode::bad_data);
  EXPECT_EQ(text_of([&] { Hdf5File(d.path() / "none" / "x.h5", Hdf5File::Mode::create); }).first,
            ExitCode::cannot_create);
  const std::string path = d.path() / "y.h5";
  write_example(path, 3, 3, 3);
  const auto [code, text] = text_of([&] { Hdf5File(path, Hdf5File::Mode::read).shape("/g/none"); });
  EXPECT_EQ(code, ExitCode::io);
  EXPECT_NE(text.find("H5Dopen2 of '/g/none'"), std::string::npos) << text;
  // Every cut of a file is refused, not believed.
  const std::string whole = testing::content_of(path);
  for (std::size_t cut = 0; cut < whole.size(); cut += 997) {
    const std::string torn = d.write("torn.h5", whole.substr(0, cut));
    EXPECT_THROW(Hdf5File(torn, Hdf5File::Mode::read), BadData) << cut;
  }
}

}  // namespace
}  // namespace tovamill
