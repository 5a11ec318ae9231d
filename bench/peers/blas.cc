// One BLAS at matrix products, the other side of bench/peers/blas.ts: a request a line on stdin (a flat JSON object), one
// answer a line on stdout. Built once per library: -DMW_OPENBLAS, -DMW_BLIS or -DMW_ONEDNN.
//
// {"make":id,"m","n","k","transA","transB","count","a":file,"b":file} -> {"check":[sum of squares, weighted sum]}
// {"time":id,"threads","calls"}                                      -> {"seconds","cpuSeconds": of one call}
// {"drop":id}                                                       -> {}
// {}                                                                -> {"version": what the library says of itself}
//
// The work: `count` products C = A·B one after the other, each on its own matrices; a and b hold them end to end, f32, row
// by row, and a transposed operand is stored as it is not transposed.
#include <omp.h>
#include <sys/mman.h>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#if defined(MW_ONEDNN)
#include <dnnl.h>
#elif defined(MW_BLIS)
#include <blis.h>
#include <cblas.h>
#else
#include <cblas.h>
#endif

namespace {

struct Shape {
  int64_t m, n, k, count;
  bool trans_a, trans_b;
};

#if defined(MW_ONEDNN)
std::string version() {
  const dnnl_version_t* v = dnnl_version();
  const bool wide = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
  return "oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch) +
         (wide ? " AVX-512" : " AVX2 or less");
}
void set_threads(int threads) { omp_set_num_threads(threads); }
#else
#if defined(MW_BLIS)
std::string version() {
  bli_init();  // before it BLIS knows no architecture
  return std::string("BLIS ") + bli_info_get_version_str() + " " + bli_arch_string(bli_arch_query_id());
}
void set_threads(int threads) { bli_thread_set_num_threads(threads); }
#else
std::string version() { return openblas_get_config(); }
void set_threads(int threads) { openblas_set_num_threads(threads); }
#endif
#endif

void product(const Shape& s, const float* a, const float* b, float* c) {
  const int64_t lda = s.trans_a ? s.m : s.k, ldb = s.trans_b ? s.k : s.n;
#if defined(MW_ONEDNN)
  const auto letter = [](bool trans) { return trans ? 'T' : 'N'; };
  if (dnnl_sgemm(letter(s.trans_a), letter(s.trans_b), s.m, s.n, s.k, 1, a, lda, b, ldb, 0, c, s.n) != dnnl_success)
    throw std::runtime_error("dnnl_sgemm failed");
#else
  const auto letter = [](bool trans) { return trans ? CblasTrans : CblasNoTrans; };
  cblas_sgemm(CblasRowMajor, letter(s.trans_a), letter(s.trans_b), s.m, s.n, s.k, 1, a, lda, b, ldb, 0, c, s.n);
#endif
}

// On huge pages where the system gives them: what a program that cares for speed would do.
using Floats = std::unique_ptr<float, void (*)(void*)>;
Floats floats(int64_t count) {
  constexpr size_t kPage = size_t(2) << 20;
  const size_t bytes = (size_t(count) * sizeof(float) + kPage - 1) / kPage * kPage;
  Floats memory(static_cast<float*>(std::aligned_alloc(kPage, bytes)), std::free);
  if (!memory) throw std::bad_alloc();
  madvise(memory.get(), bytes, MADV_HUGEPAGE);
  return memory;
}

Floats floats_of(const std::string& path, int64_t count) {
  Floats memory = floats(count);
  std::ifstream file(path, std::ios::binary);
  const auto bytes = std::streamsize(count * int64_t(sizeof(float)));
  if (!file.read(reinterpret_cast<char*>(memory.get()), bytes)) throw std::runtime_error("cannot read " + path);
  return memory;
}

struct Work {
  Shape shape;
  Floats a, b, c;

  void run() {
    const auto& [m, n, k, count, trans_a, trans_b] = shape;
    for (int64_t i = 0; i < count; i++) product(shape, a.get() + i * m * k, b.get() + i * k * n, c.get() + i * m * n);
  }

  std::string check() {
    run();
    double square = 0, weighted = 0;
    const int64_t size = shape.m * shape.n * shape.count;
    for (int64_t i = 0; i < size; i++) {
      const double x = c.get()[i];
      square += x * x;
      weighted += x * double(1 + i % 7);
    }
    char text[80];
    std::snprintf(text, sizeof text, "{\"check\":[%.17g,%.17g]}", square, weighted);
    return text;
  }
};

// A member's text up to the next comma, quotes taken off; the bench writes no commas, quotes or spaces into texts.
std::string member(const std::string& line, const std::string& name) {
  const std::string key = "\"" + name + "\":";
  const size_t at = line.find(key);
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size() + (line[at + key.size()] == '"');
  return line.substr(begin, line.find_first_of("\",}", begin) - begin);
}

double seconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

std::string timed(Work& work, int threads, int calls) {
  set_threads(threads);
  const double start = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < calls; i++) work.run();
  const double spent = seconds(CLOCK_MONOTONIC) - start, cpu_spent = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  char text[80];
  std::snprintf(text, sizeof text, "{\"seconds\":%.9g,\"cpuSeconds\":%.9g}", spent / calls, cpu_spent / calls);
  return text;
}

std::map<std::string, Work> made;

std::string answer(const std::string& line) {
  const auto number = [&](const char* name) { return std::stoll(member(line, name)); };
  const auto flag = [&](const char* name) { return member(line, name) == "true"; };
  if (const std::string id = member(line, "make"); !id.empty()) {
    const Shape s{number("m"), number("n"), number("k"), number("count"), flag("transA"), flag("transB")};
    Work work{s, floats_of(member(line, "a"), s.count * s.m * s.k), floats_of(member(line, "b"), s.count * s.k * s.n),
              floats(s.count * s.m * s.n)};
    return made.insert_or_assign(id, std::move(work)).first->second.check();
  }
  if (const std::string id = member(line, "time"); !id.empty())
    return timed(made.at(id), int(number("threads")), int(number("calls")));
  if (const std::string id = member(line, "drop"); !id.empty()) {
    made.erase(id);
    return "{}";
  }
  return "{\"version\":\"" + version() + "\"}";
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::string result;
    try {
      result = answer(line);
    } catch (const std::exception& error) {
      result = std::string("{\"error\":\"") + error.what() + "\"}";
    }
    std::cout << result << std::endl;
  }
}
