// How the input's channels reach a model of one channel.
#pragma once

namespace coil::dsp {

// each: both, two runs of the model. The others: one run, heard in both channels, of the left, the right, or half the
// sum. A model of two channels, the dry signal and bypass have the channels as they come.
enum class ChannelMode { each, left, right, sum };

}  // namespace coil::dsp
