// The common part of programs that take a model file and convert numbers on standard input to numbers on standard
// output.
#pragma once

#include <cstdio>
#include <exception>
#include <span>
#include <stdexcept>
#include <vector>

namespace coil::bench {

// Reads as many values as `values` holds. Returns false at the end of the input, if nothing was read. Throws
// std::runtime_error.
template <class T>
bool read(std::vector<T>& values) {
  const size_t n = std::fread(values.data(), sizeof(T), values.size(), stdin);
  if (n != 0 && n != values.size()) throw std::runtime_error("the input ends in the middle");
  return n == values.size();
}

inline void write(std::span<const float> values) { std::fwrite(values.data(), sizeof(float), values.size(), stdout); }

// Runs the program and returns its exit code.
inline int run_piped(const char* name, int argc, char** argv, void (*run)(const char* file)) {
  try {
    if (argc != 2) throw std::runtime_error("expected one argument, the model file");
    run(argv[1]);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "%s: %s\n", name, problem.what());
    return 1;
  }
  return 0;
}

}  // namespace coil::bench
