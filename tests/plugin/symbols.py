"""The built plugins export only their format's entry points, and link no network library."""
import os
import subprocess
import unittest

ENTRY_POINTS = {
    "VST3": {"GetPluginFactory", "ModuleEntry", "ModuleExit"},
    "LV2": {"lv2_descriptor", "lv2ui_descriptor"},
}
NETWORK_CALLS = {"connect", "getaddrinfo", "gethostbyname", "sendto", "recvfrom", "curl_easy_perform"}


def names(*options):
    lines = subprocess.run(["nm", "-D", *options], check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


class Symbols(unittest.TestCase):
    def test_exports(self):
        for plugin, entries in ENTRY_POINTS.items():
            with self.subTest(plugin):
                self.assertEqual(names("--defined-only", os.environ[plugin]), entries)

    def test_no_network(self):
        for plugin in ENTRY_POINTS:
            with self.subTest(plugin):
                self.assertFalse(names("--undefined-only", os.environ[plugin]) & NETWORK_CALLS)


if __name__ == "__main__":
    unittest.main()
