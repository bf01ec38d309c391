// What a network is: the chain of parts that every config (HuggingFace, s4d, coil) is turned into.
// ssm/MODEL_FILE.md describes the JSON. ssm/model/plan.h says what they mean to those who run them.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace coil::ssm {

// Every `name` is the full prefix of the part's tensors, without the final dot: "backbone.layers.0.mixer".
// Every `state_name` is the prefix of its state's tensors in a state file: "state.0" for "state.0.ssm".

// A matrix that is added to another one: `up` (d_out, rank) times `down` (rank, d_in), two tensors without bias.
struct AdapterConfig {
  std::string down, up;
  int rank = 0;
};

// Neighbouring rows of a projection with a factor of their own.
struct RowScale {
  int rows;
  double factor;
};

// y = scale (W (input_scale x) + b). The factors, and what else says that the tensor is not the matrix, go into the
// weights when they are loaded: ssm/model/linear_weights.h.
struct LinearConfig {
  std::string name;
  int d_in = 0, d_out = 0;
  bool bias = true;
  double scale = 1, input_scale = 1;
  std::vector<RowScale> row_scales = {};  // also of scale; none: 1
  int first_row = 0, tensor_rows = 0;     // where the tensor holds more rows than these; tensor_rows 0: it does not
  int tensor_matrices = 1;                // its rows are cut into so many matrices, by an axis in front
  std::optional<AdapterConfig> adapter = std::nullopt;
  std::string tensor = "weight";  // below the name; empty: the name is the tensor's own
};

// y = x / sqrt(mean(x^2) + eps) * weight; with `centred` (LayerNorm) the mean of x is taken off first, and a bias
// added.
struct RmsNormConfig {
  std::string name;
  int width = 0;
  float eps = 1e-5f;
  bool affine = true;
  bool centred = false;
};

enum class Activation { tanh, gelu, silu, glu, gelu_tanh, relu, relu2 };

// Pointwise. glu halves the width: a * sigmoid(b); so do the others if `gated`: f(a) * b.
struct ActivationConfig {
  Activation kind = Activation::tanh;
  int width_in = 0, width_out = 0;
  bool gated = false;
};

// down(f(gate(x)) * up(x)), or down(f(up(x))) without a gate.
struct MlpConfig {
  std::optional<LinearConfig> gate;
  LinearConfig up, down;
  Activation activation = Activation::silu;
};

// How the router's values become the chosen experts' weights: softmax over all of them, or over the chosen ones alone;
// sigmoid of each, chosen by its sum with `correction`, perhaps from the best groups only.
enum class Routing { softmax, softmax_of_chosen, sigmoid };

// sum over the top_k chosen experts of weight * expert(x), between two projections if there are any, plus shared(x).
struct MoeConfig {
  int d_model = 0;
  LinearConfig router;
  Routing routing = Routing::softmax;
  int top_k = 1;
  std::string correction;             // tensor; empty: none
  int groups = 1, groups_chosen = 1;  // of experts; a group counts by its two best
  bool normalised = false;            // weights are divided by their sum
  double weight_scale = 1;
  std::vector<MlpConfig> experts;
  std::optional<LinearConfig> latent_in, latent_out;
  std::optional<MlpConfig> shared;
};

// Attention over the last `window` frames, this one included, with rotary positions or none. A head of queries uses the
// keys and values of KV head (head / (heads / kv_heads)).
struct AttentionConfig {
  std::string state_name;
  LinearConfig q, k, v, o;
  int heads = 0, kv_heads = 0, headdim = 0, window = 0;
  double score_scale = 1;
  float soft_cap = 0;          // scores become soft_cap tanh(score / soft_cap); 0: they stay
  std::string sinks;           // tensor (heads): one more score each, whose value is 0; empty: none
  std::string q_norm, k_norm;  // tensors (headdim) of an RMS norm of each head; empty: none
  float norm_eps = 1e-6f;
  std::vector<double> rope;  // radians a frame, by which the pairs (i, i + size) of a head turn; empty: none do
  double rope_scale = 1;     // of what is turned
};

// Where a chain takes up rows that it left behind: in front of this layer, in front of the layer before it, or in front
// of the first one; they take the place of the chain's own, are added to them, or follow them.
struct TapConfig {
  enum class From { layer, layer_before, network };
  enum class How { replace, add, append };
  From from = From::layer;
  How how = How::add;
  int width = 0;                                                                   // of the rows that are taken up
  int width_in = 0;                                                                // of the chain's own
  int width_out() const { return how == How::append ? width_in + width : width; }  // adding: both are as wide
};

// y = (1 + scale) x + shift; scale = film[offset ..], shift = film[offset + width ..]
struct FilmConfig {
  int width = 0;
  int offset = 0;
};

// y = tanh(x) - tanh(x0), where x0 is what the linear part before it, and the film part between them if there is one,
// give where the input is 0: a network of such parts gives exactly 0 at rest. x and x0 must be made by the same
// operations, so that they are equal to the last bit.
struct RestTanhConfig {
  int width = 0;
  std::string bias;  // the tensor of the linear part
  std::optional<FilmConfig> film;
};

enum class Discretization { zoh, bilinear };

// Diagonal state-space filter bank, one independent bank per channel.
struct S4dConfig {
  std::string name, state_name;
  int channels = 0;
  int modes = 0;  // complex: conjugate pairs; real: real modes
  bool complex = true;
  Discretization discretization = Discretization::zoh;
  double step_scale = 1;  // own sample rate / sample rate: how long a frame lasts, in frames of the own rate
};

struct Mamba1Config {
  std::string name, state_name;
  int d_model = 0, d_inner = 0, d_state = 0, d_conv = 4, dt_rank = 1;
  bool bias = false, conv_bias = true, x_proj_bias = false;
  std::optional<float> rms_eps;  // FalconMamba: weightless RMS norm on the dt values, B and C
  bool norm_weights = false;     // Jamba: the same with weights, dt_layernorm, b_layernorm, c_layernorm
};

// What stands between the scan and the output projection of Mamba-2, z its gate.
enum class GatedNorm { gate_then_norm, norm_then_gate, gate_alone };

struct Mamba2Config {
  std::string name, state_name;
  int d_model = 0, heads = 0, headdim = 0, d_state = 0, ngroups = 1, d_conv = 4;
  bool bias = false, conv_bias = true;
  float norm_eps = 1e-5f;
  int norm_group_size = 0;  // channels that share one mean square; d_inner: all
  double dt_min = 0, dt_max = std::numeric_limits<double>::infinity();  // time_step_limit: dt is clamped after softplus
  GatedNorm gated_norm = GatedNorm::gate_then_norm;
  std::optional<bool> out_bias;              // none: as `bias`
  double input_scale = 1, output_scale = 1;  // of what goes in and what comes out
  std::vector<double> part_scales;           // of z, x, B, C, dt behind the input projection; empty: 1

  int d_inner() const { return heads * headdim; }
  int conv_channels() const { return d_inner() + 2 * ngroups * d_state; }
  LinearConfig in_proj() const;
  LinearConfig out_proj() const;
};

// How the projected value a becomes a decay rate: reciprocal: A = -(a >= 0 ? 1 + a : 1 / (1 - a)), as mamba_ssm has it
// now; softplus: A = -log(1 + e^a), as it had at first. Both at most -a_floor.
enum class DecayRate { reciprocal, softplus };

// Trapezoidal rule, B and C with norm, bias and a rotation that depends on the data; one input and output a head (SISO)
// or `rank` of them (MIMO).
struct Mamba3Config {
  std::string name, state_name;
  int d_model = 0, heads = 0, headdim = 0, d_state = 0, ngroups = 1;
  int angles = 0;  // pairs of states that rotate
  bool mimo = false;
  int rank = 1;
  bool outproj_norm = false;  // RMS norm of each head before the gate
  float a_floor = 1e-4f;
  DecayRate decay_rate = DecayRate::reciprocal;

  int d_inner() const { return heads * headdim; }
  int bc_width() const { return rank * ngroups * d_state; }
  int d_in_proj() const { return 2 * d_inner() + 2 * bc_width() + 3 * heads + angles; }
};

// A nonlinear recurrence, for the slow path: z = tanh(x + R c), c = c + sigmoid(gate(z)) (value(z) - c).
struct GatedConfig {
  std::string name, state_name;
  int d_hidden = 0, d_units = 0;

  LinearConfig recurrent() const { return {name + ".recurrent", d_units, d_hidden, false}; }
  LinearConfig gate() const { return {name + ".gate", d_hidden, d_units, true}; }
  LinearConfig value() const { return {name + ".value", d_hidden, d_units, true}; }
};

using PartConfig =
    std::variant<LinearConfig, RmsNormConfig, ActivationConfig, FilmConfig, RestTanhConfig, S4dConfig, Mamba1Config,
                 Mamba2Config, Mamba3Config, GatedConfig, AttentionConfig, MlpConfig, MoeConfig, TapConfig>;

// h = residual ? h + parts(h) : parts(h)
struct LayerConfig {
  bool residual = true;
  std::vector<PartConfig> parts;
};

// Runs once every hop_frames; gives the film vector.
struct SlowPathConfig {
  int hop_frames = 64;
  int n_features = 0;
  bool controls = false;  // control values are appended to the features
  LinearConfig features;  // d_input -> n_features
  LinearConfig in_proj;   // 2 n_features [+ controls] -> d_model
  std::vector<LayerConfig> layers;
  LinearConfig out_proj;  // d_model -> film_size
};

inline constexpr int kMaxControls = 256, kMaxControlHidden = 1024;

// From k' = 2 k - 1 of each control to the FiLM vector.
struct ControlNetConfig {
  std::optional<LinearConfig> hidden;  // control_count -> hidden, then tanh; none: k'_i, then k'_i k'_j for i <= j
  LinearConfig film;                   // hidden, or those products -> film_size
};

enum class InputKind { frames, token_ids };

// How a model meets a signal of another sample rate than its own: with its steps rescaled to that rate, or at its own
// rate between resamplers.
enum class RateScaling { steps, resample };

const char* to_string(RateScaling scaling);

inline constexpr int kControlRampFrames = 1024;  // at the model's own sample rate

struct EmbeddingConfig {
  std::string name;  // tensor `name` + ".weight" (vocab, d_model)
  int vocab = 0;
  int padded_vocab = 0;  // state-spaces: the tensor may have this many rows instead
  double scale = 1;      // of what it gives
};

struct ModelConfig {
  std::string model_type;
  InputKind input_kind = InputKind::frames;
  int d_input = 0;  // channels of a frame; 1 for token ids
  int d_model = 0;
  int d_output = 0;           // channels of a frame; the vocabulary for token models
  double sample_rate_hz = 0;  // 0: none stated
  RateScaling rate_scaling = RateScaling::resample;
  int control_ramp_frames =
      kControlRampFrames;  // how long the FiLM vector and the output gain take to a control's new value

  std::optional<EmbeddingConfig> embedding;
  std::optional<LinearConfig> in_proj;
  std::vector<LayerConfig> layers;
  std::optional<RmsNormConfig> norm_f;
  std::optional<LinearConfig> out_proj;  // output projection or language-model head; tied: its name is the embedding's
  std::optional<LinearConfig> direct;    // added to the output

  int control_count = 0;           // knobs that the network reads, each in [0, 1]
  int film_size = 0;               // length of the FiLM vector: sum of what the two below give
  std::optional<int> output_film;  // where in it what is added to out_proj's weights begins, (d_output, d_in)
  std::optional<ControlNetConfig> control_net;
  std::optional<SlowPathConfig> slow_path;
};

// Parses the JSON text of a config; `source` names the file in errors. `input_kind` of a HuggingFace model decides
// between frames (embeddings in, final norm out) and token ids (embedding and head); without it the model takes token
// ids, as upstream does. Throws Error naming the field, what was found and what would be right. What is ignored gets a
// sentence in `warnings`, if given.
ModelConfig parse_config(const std::string& json, const std::string& source,
                         std::vector<std::string>* warnings = nullptr);

// Whether it is the config of transformers or state-spaces, whose tensors may have other names in front.
bool is_upstream_config(const std::string& json);

// The key of a config for how many frames attention may look back; --window writes it.
inline constexpr const char* kWindowKey = "stream_window";
inline constexpr int kMaxWindow = 1 << 20;

// Of an upstream model: its embeddings, and the head if that has weights of its own.
inline constexpr const char *kEmbeddingName = "backbone.embeddings", *kHeadName = "lm_head";

// Why the steps cannot be rescaled to any other rate: a part counts in frames, not in seconds. Empty: they can.
std::string steps_obstacle(const ModelConfig& config);
// Why they cannot be rescaled to this one. Empty: they can.
std::string steps_obstacle(const ModelConfig& config, double sample_rate_hz);

// The same network with its steps rescaled from config.sample_rate_hz to another rate. Throws Error with the obstacle,
// if there is one; `source` names the file.
ModelConfig with_rescaled_steps(ModelConfig config, double sample_rate_hz, const std::string& source);

}  // namespace coil::ssm
