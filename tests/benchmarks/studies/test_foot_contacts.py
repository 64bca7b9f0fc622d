from foot_contacts import measure, table


def test_standing_feet_are_found_and_stay():
    exact, *_, shaken = rows = measure(1)
    for row in rows:
        assert row.found_percent > 85.0
        assert row.slide_m_s[1] < 0.4 * row.slide_m_s[0]
        # A stream does not know what comes.
        assert row.slide_m_s[1] < row.slide_m_s[2] < 0.6 * row.slide_m_s[0]
    assert shaken.ankle_mm[1] < 0.9 * shaken.ankle_mm[0]
    assert shaken.height_mm[1] < 0.8 * shaken.height_mm[0]
    assert (exact.pose_error_mm, shaken.pose_error_mm) == (0.0, 20.0)
    assert "whole clip" in table(rows).to_text()
