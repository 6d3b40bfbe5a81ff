-- Which songs did VIBE rank on each day?
{{ typed_chart(source('charts', 'vibe_chart')) }}
