from hypothesis import given
from hypothesis import strategies as st

from latency import conditions as c

# dumpsys thermalservice of an Android 12 phone: the cached section is older than the one from the HAL.
THERMAL = """\
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=31.2, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
\tTemperature{mValue=44.0, mType=0, mName=cpu-1-7, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=38.5, mType=3, mName=VIRTUAL-SKIN, mStatus=1}
\tTemperature{mValue=-4.25E-1, mType=2, mName=battery, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
"""
BATTERY = """\
Current Battery Service state:
  AC powered: false
  USB powered: true
  level: 87
  temperature: 316
  technology: Li-ion
"""
# A Pixel 4: four little cores, three big ones, one prime
FREQ = "".join(
    f"/sys/devices/system/cpu/cpu{n}/cpufreq/cpuinfo_max_freq:{khz}\n"
    for n, khz in enumerate([1785600] * 4 + [2419200] * 3 + [2841600])
)


def test_a_phones_sensors():
    text = "".join(
        f"{c.MARK}{name}\n{content}"
        for name, content in (
            ("thermal", THERMAL),
            ("battery", BATTERY),
            ("max_freq", FREQ),
            ("cur_freq", FREQ.replace("cpuinfo_max_freq", "scaling_cur_freq")),
        )
    )
    found = c.parse(text)
    assert found.thermal_status == 2
    assert found.temperatures_c == {"VIRTUAL-SKIN": 38.5, "battery": -0.425}
    assert found.battery_c == 31.6
    assert found.max_khz[7] == 2841600
    assert found.current_khz == found.max_khz


def test_older_phones_have_no_hal_section():
    assert c.temperatures(THERMAL.partition("HAL Ready")[0])["cpu-1-7"] == 44.0


def test_a_device_without_sensors():
    found = c.parse(f"{c.MARK}thermal\n{c.MARK}battery\nCan't find service: battery\n{c.MARK}max_freq\n")
    assert (found.thermal_status, found.battery_c, found.max_khz) == (None, None, {})


def test_big_cores_are_whole_groups_from_the_fastest():
    khz = c.frequencies(FREQ)
    assert c.big_cores(khz, 1) == (7,)
    assert c.big_cores(khz, 2) == (4, 5, 6, 7)
    assert c.big_cores(khz, 8) == tuple(range(8))
    assert c.big_cores({0: 2000, 1: 2000}, 1) == ()
    assert c.big_cores({}, 1) == ()
    assert c.mask((4, 5, 6, 7)) == "f0"


def test_a_warm_phone_is_objected_to():
    warm, cold = c.parse(f"{c.MARK}thermal\n{THERMAL}"), c.parse("")
    assert "status is 2 (moderate)" in c.objections(cold, warm)[0]
    assert c.objections(cold, cold) == []


@given(st.text(max_size=300), st.integers(0, 400))
def test_anything_may_be_printed(noise, cut):
    text = f"{c.MARK}thermal\n{THERMAL}{c.MARK}battery\n{BATTERY}{c.MARK}max_freq\n{FREQ}"
    c.parse(noise + text[cut:] + noise)
