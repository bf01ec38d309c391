// Texts and layout of the page.
#include "plugin/editor/pack_page.h"

#include "base/error.h"
#include "plugin/editor/theme.h"
#include "plugin/text.h"

namespace coil::plugin {
PackPage::PackPage(ModelLibrary& library) : library_(library) {
  setTitle("Pack");
  setFocusContainerType(FocusContainerType::keyboardFocusContainer);
  title_.setFont(theme::font(theme::kTextLarge, theme::Weight::strong));
  title_.setMinimumHorizontalScale(0.7f);
  content_.setFont(theme::font(theme::kTextNormal));
  content_.setColour(juce::Label::textColourId, theme::kTextSoft);
  licence_name_.setFont(theme::font(theme::kTextNormal, theme::Weight::strong));
  licence_name_.setText("Its licence", juce::dontSendNotification);
  for (auto* label : {&title_, &content_, &licence_name_}) label->setBorderSize({});
  licence_.setTitle("Licence of the pack");
  licence_.setMultiLine(true);
  licence_.setReadOnly(true);
  licence_.setFont(theme::font(theme::kTextNormal));
  licence_.onEscapeKey = [this] { on_close(); };
  close_.setTooltip("Close (Escape)");
  close_.onClick = [this] { on_close(); };
  browse_.setTooltip("Opens the browser, which lists the pack under User");
  browse_.onClick = [this] { on_browse(); };
  theme::make_primary(browse_);
  for (juce::Component* child :
       std::initializer_list<juce::Component*>{&title_, &content_, &licence_name_, &licence_, &close_, &browse_})
    addAndMakeVisible(child);
}

PackPage::~PackPage() { background_->leave(this); }

void PackPage::install(const juce::File& archive) {
  background_->post(this, [this, archive, self = juce::Component::SafePointer<PackPage>(this)] {
    InstalledPack pack;
    const auto problem = from_utf8(problem_of(archive, [&] { pack = install_pack(archive, library_); }));
    juce::MessageManager::callAsync([self, pack, problem] {
      if (!self) return;
      if (problem.isNotEmpty())
        self->on_problem(problem);
      else
        self->show_installed(pack);
    });
  });
}

void PackPage::show_installed(const InstalledPack& pack) {
  library_.rescan();
  show(pack, "Installed the pack ");
}

void PackPage::open(const juce::File& folder) { show(installed_pack(folder), "The pack "); }

void PackPage::show(const InstalledPack& pack, const juce::String& title) {
  title_.setText(title + pack.folder.getFileName(), juce::dontSendNotification);
  juce::StringArray parts;
  if (pack.models > 0) parts.add(counted(pack.models, "model"));
  if (pack.presets > 0) parts.add(counted(pack.presets, "preset"));
  if (pack.cabinets > 0) parts.add(counted(pack.cabinets, "impulse response"));
  content_.setText(parts.joinIntoString(", "), juce::dontSendNotification);
  content_.setTooltip(pack.folder.getFullPathName());
  licence_.setText(pack.licence.isEmpty() ? "The pack's folder holds no licence any more." : pack.licence);
  setVisible(true);
  toFront(false);
  if (isShowing()) browse_.grabKeyboardFocus();
}

bool PackPage::keyPressed(const juce::KeyPress& key) {
  if (key != juce::KeyPress::escapeKey) return false;
  on_close();
  return true;
}

void PackPage::paint(juce::Graphics& g) { g.fillAll(theme::kBackground); }

void PackPage::resized() {
  constexpr int kButtonWidth = 96;
  auto area = getLocalBounds().reduced(theme::kPad, theme::kGap);
  title_.setBounds(area.removeFromTop(theme::kRow));
  content_.setBounds(area.removeFromTop(theme::kRow));
  licence_name_.setBounds(area.removeFromTop(theme::kRow));
  auto buttons = area.removeFromBottom(theme::kButton);
  browse_.setBounds(buttons.removeFromRight(kButtonWidth));
  buttons.removeFromRight(theme::kGap);
  close_.setBounds(buttons.removeFromRight(kButtonWidth));
  licence_.setBounds(area.withTrimmedBottom(theme::kGap));
}

}  // namespace coil::plugin
