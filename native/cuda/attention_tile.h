// What attention and its gradient share: where a tile of the grid lies in the documents, and tiles of f32 in shared memory.
//
// A lane is one (query, head) of one kv head: lane l of a document is its row l / group, and head l % group of the kv head's
// group. So the heads of a group share the tiles of keys. Keys are lanes too, of a group of one.
#pragma once
#include "cuda/launch.h"

namespace mixwright::cuda {

constexpr float kLog2e = 1.44269504088896f, kLn2 = 0.693147180559945f;  // scores are in units of ln 2 inside
constexpr int kNoWindow = 1 << 30;

struct Documents {
  const int32_t *offsets, *starts, *lengths;  // no starts and lengths: keys are laid out as the queries
  int64_t count, rows, key_rows;
  Report ends, fall, few, past;
};

struct Document {
  int row, count, key_row, keys;
};

inline Documents documents_of(Exec& exec, In offsets, In starts, In lengths, int64_t rows, int64_t key_rows) {
  require(bool(starts) == bool(lengths), "starts and lengths come together");
  return {offsets.data<int32_t>(), starts.data<int32_t>(), lengths.data<int32_t>(), offsets.size() - 1, rows, key_rows,
          exec.report("offsets run from %lld to %lld, there are %lld rows"),
          exec.report("offsets fall from %lld to %lld at document %lld"),
          exec.report("document %lld has %lld keys for %lld queries"),
          exec.report("document %lld ends at key row %lld, k has %lld rows")};
}

__device__ inline Document document_at(const Documents& of, int64_t d) {
  const int row = of.offsets[d], count = of.offsets[d + 1] - row;
  return {row, count, of.starts ? of.starts[d] : row, of.lengths ? of.lengths[d] : count};
}

__device__ inline bool fits(const Documents& of, const Document& x) {
  return x.row >= 0 && x.count >= 0 && int64_t(x.row) + x.count <= of.rows && x.keys >= x.count && x.key_row >= 0 &&
         int64_t(x.key_row) + x.keys <= of.key_rows;
}

// For one block of the grid: reports what is wrong with the documents.
__device__ inline void check_documents(const Documents& of) {
  if (threadIdx.x == 0 && (of.offsets[0] != 0 || of.offsets[of.count] != of.rows)) {
    report(of.ends, of.offsets[0], of.offsets[of.count], of.rows);
  }
  __syncthreads();
  for (int64_t d = threadIdx.x; d < of.count; d += blockDim.x) {
    const Document x = document_at(of, d);
    if (x.count < 0) report(of.fall, of.offsets[d], of.offsets[d + 1], d);
    if (x.keys < x.count) report(of.few, d, x.keys, x.count);
    const int64_t end = int64_t(x.key_row) + x.keys;
    if (x.key_row < 0 || end > of.key_rows) report(of.past, d, x.key_row < 0 ? x.key_row : end, of.key_rows);
  }
}

// Tiles that a grid needs for every way to cut `rows` into documents: see find_tile.
inline int64_t most_tiles(const Documents& of, int64_t group, int64_t size) { return of.rows * group / size + of.count; }

// The document of tile `tile`, and the tile's first lane in it. Document d's tiles begin at offsets[d] · group / size + d,
// which rises from document to document by the number of its tiles at least: no sums over documents. False: no lanes.
__device__ inline bool find_tile(const Documents& of, int64_t tile, int group, int size, Document& document, int& first) {
  if (of.count == 0) return false;
  int64_t low = 0, high = of.count;
  const auto begin = [&](int64_t d) { return int64_t(of.offsets[d]) * group / size + d; };
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (begin(middle) <= tile ? low : high) = middle;
  }
  document = document_at(of, low);
  const int64_t lane = (tile - begin(low)) * size;
  first = int(lane);
  return fits(of, document) && lane >= 0 && lane < int64_t(document.count) * group;
}

// A matrix of heads side by side, each `width` columns.
struct Matrix {
  void* memory;
  bool wide, whole;  // f32, else bf16; every fourth element of a head is aligned for a load of four
  int width;
  int64_t cols;
};

inline Matrix matrix_of(const View& x, int64_t width) {
  return {x.memory, x.dtype == DType::f32, width % 4 == 0 && uintptr_t(x.memory) % uintptr_t(4 * bytes_of(x.dtype)) == 0,
          int(width), x.cols()};
}

// Some lanes of a matrix: those of one document and kv head.
struct Lanes {
  int row, group, head;  // the document's first row, the group's first head

  __device__ int64_t at(const Matrix& x, int lane) const {
    return (row + int64_t(lane / group)) * x.cols + int64_t(head + lane % group) * x.width;
  }
};

__device__ inline float4 load_four(const Matrix& x, int64_t at, int left) {
  float four[4] = {};
  if (x.whole) {
    if (x.wide) return *reinterpret_cast<const float4*>(static_cast<const float*>(x.memory) + at);
    const uint2 bits = *reinterpret_cast<const uint2*>(static_cast<const bf16*>(x.memory) + at);
    return make_float4(__uint_as_float(bits.x << 16), __uint_as_float(bits.x & 0xffff0000u), __uint_as_float(bits.y << 16),
                       __uint_as_float(bits.y & 0xffff0000u));
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (i >= left) continue;
    four[i] = x.wide ? static_cast<const float*>(x.memory)[at + i] : load_float(static_cast<const bf16*>(x.memory) + at + i);
  }
  return make_float4(four[0], four[1], four[2], four[3]);
}

// The first `left` of them.
__device__ inline void store_four(const Matrix& x, int64_t at, int left, const float (&four)[4]) {
  if (x.whole && x.wide) {
    *reinterpret_cast<float4*>(static_cast<float*>(x.memory) + at) = make_float4(four[0], four[1], four[2], four[3]);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (i >= left) continue;
    if (x.wide) {
      static_cast<float*>(x.memory)[at + i] = four[i];
    } else {
      store_float(static_cast<bf16*>(x.memory) + at + i, four[i]);
    }
  }
}

// Columns `column` … `column` + kCols - 1 of `count` <= kRows lanes, in f32 with rows of kCols + 4 floats: eight rows' fours
// lie in all 32 banks. What is past the lanes or the head is 0.
template <int kRows, int kCols, int kThreads>
__device__ inline void load_tile(const Matrix& x, const Lanes& lanes, int first, int count, int column, float* to) {
  constexpr int kFours = kCols / 4;
#pragma unroll 2
  for (int i = threadIdx.x; i < kRows * kFours; i += kThreads) {
    const int r = i / kFours, c = i % kFours * 4, left = x.width - column - c;
    float4 four = make_float4(0, 0, 0, 0);
    if (r < count && left > 0) four = load_four(x, lanes.at(x, first + r) + column + c, left);
    *reinterpret_cast<float4*>(to + r * (kCols + 4) + c) = four;
  }
}

__device__ inline float dot(const float4& a, const float4& b, float sum) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

// sum[i][j] += row i of a · row 16 j of b, over `depth` (a multiple of four) columns.
template <int kA, int kB, int kStride>
__device__ inline void add_dots(const float* a, const float* b, int depth, float (&sum)[kA][kB]) {
#pragma unroll 1
  for (int d = 0; d < depth; d += 4) {
    float4 right[kB];
#pragma unroll
    for (int j = 0; j < kB; j++) right[j] = *reinterpret_cast<const float4*>(b + j * 16 * kStride + d);
#pragma unroll
    for (int i = 0; i < kA; i++) {
      const float4 left = *reinterpret_cast<const float4*>(a + i * kStride + d);
#pragma unroll
      for (int j = 0; j < kB; j++) sum[i][j] = dot(left, right[j], sum[i][j]);
    }
  }
}

// sum[i][c][e] += Σ_s p[i][s] · x[s][64 c + e], over `depth` (a multiple of four) rows of x.
template <int kA, int kC, int kP, int kStride>
__device__ inline void add_rows(const float* p, const float* x, int depth, float (&sum)[kA][kC][4]) {
#pragma unroll 1
  for (int s = 0; s < depth; s += 4) {
    float4 left[kA];
#pragma unroll
    for (int i = 0; i < kA; i++) left[i] = *reinterpret_cast<const float4*>(p + i * kP + s);
#pragma unroll
    for (int n = 0; n < 4; n++) {
#pragma unroll
      for (int c = 0; c < kC; c++) {
        const float4 right = *reinterpret_cast<const float4*>(x + (s + n) * kStride + 64 * c);
#pragma unroll
        for (int i = 0; i < kA; i++) {
          const float f = n == 0 ? left[i].x : n == 1 ? left[i].y : n == 2 ? left[i].z : left[i].w;
          sum[i][c][0] = fmaf(f, right.x, sum[i][c][0]);
          sum[i][c][1] = fmaf(f, right.y, sum[i][c][1]);
          sum[i][c][2] = fmaf(f, right.z, sum[i][c][2]);
          sum[i][c][3] = fmaf(f, right.w, sum[i][c][3]);
        }
      }
    }
  }
}

// The first key that a query at position `first`, or a later one, sees.
__device__ inline int first_key(int first, int window) { return first >= window ? first - window + 1 : 0; }

}  // namespace mixwright::cuda
