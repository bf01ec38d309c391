// The knobs' polynomial and its gradient.
#include "capture/trainer/film.h"

namespace coil::capture {

std::vector<double> knob_features(std::span<const double> knobs) {
  std::vector<double> features;
  for (const double knob : knobs) features.push_back(2 * knob - 1);
  for (size_t i = 0; i < knobs.size(); ++i)
    for (size_t j = i; j < knobs.size(); ++j) features.push_back(features[i] * features[j]);
  return features;
}

template <class T>
std::vector<double> film_vector(const ParameterMap& map, const T* parameters, std::span<const double> knobs) {
  const std::vector<double> features = knob_features(knobs);
  std::vector<double> film(map.film_size());
  const T* weight = parameters + map.knobs;
  for (double& value : film)
    for (const double feature : features) value += double(*weight++) * feature;
  return film;
}

void add_film_gradient(const ParameterMap& map, std::span<const double> knobs, std::span<const double> film_gradient,
                       double* gradient) {
  const std::vector<double> features = knob_features(knobs);
  double* weight = gradient + map.knobs;
  for (const double g : film_gradient)
    for (const double feature : features) *weight++ += g * feature;
}

template std::vector<double> film_vector(const ParameterMap&, const float*, std::span<const double>);
template std::vector<double> film_vector(const ParameterMap&, const double*, std::span<const double>);

}  // namespace coil::capture
