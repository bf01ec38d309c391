-- A session with a stereo track that feeds the master bus through Coil's VST3. Arguments: folder, name, sample rate in Hz.
AudioEngine:set_backend("None (Dummy)", "", "")
local session = create_session(arg[1], arg[2], tonumber(arg[3]))
assert(session, "no session could be made in " .. arg[1])
session:add_master_bus(ARDOUR.ChanCount(ARDOUR.DataType("audio"), 2))
session:new_audio_track(2, 2, nil, 1, "guitar", ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
local coil = ARDOUR.LuaAPI.new_plugin(session, "Coil", ARDOUR.PluginType.VST3, "")
assert(not coil:isnil(), "Ardour does not find the plugin")
for track in session:get_tracks():iter() do
  for channel = 0, 1 do track:output():audio(channel):connect("Master/audio_in " .. channel + 1) end
  assert(track:add_processor_by_index(coil, 0, nil, true) == 0, "the plugin cannot be added to the track")
end
session:save_state("")
quit()
