// How a model of one channel runs on an input of two channels.
#pragma once

namespace coil::dsp {

// each: the model runs once per channel. The other modes run it once, on the left channel, the right channel, or half
// their sum, and send the output to both channels. A model of two channels, the dry signal and bypass always use the
// channels as they are.
enum class ChannelMode { each, left, right, sum };

}  // namespace coil::dsp
