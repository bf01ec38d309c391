// Neural Amp Modeler's WaveNet: arrays of dilated convolutions. The output is a sum over their activations.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "capture/teachers/network.h"
#include "capture/teachers/weight_list.h"

namespace coil::capture {

// Each layer of an array, with condition c (the input itself, or the output of a separate network):
//
//     z = conv(h) + mix(c);   a = f(z), or f(z1) g(z2) when gated, or g(z2) f(z1) + (1 - g(z2)) z1 when blended
//     head += a, or head1x1(a);   h += layer1x1(a)
//
// For the first array, h starts as a matrix times the input. The next array continues from this array's h, and its head
// starts from this array's head through a convolution. A FiLM at one of eight places multiplies and shifts by matrices
// times c. As in Neural Amp Modeler's core, the FiLM after layer1x1 always has weights but acts only where activations
// are blended.
//
// `config`: as in the file. `where`: the start of error messages. `read_network` reads the network that computes the
// condition. Throws Error. Unknown fields are added to `warnings`.
// Source: NeuralAmpModelerCore 0.5.5, NAM/wavenet/.
std::unique_ptr<Network> read_wavenet(
    const nlohmann::json& config, const std::string& where, WeightList& weights,
    const std::function<std::unique_ptr<Network>(const nlohmann::json&)>& read_network,
    std::vector<std::string>& warnings);

}  // namespace coil::capture
