//! Where listeners live and what they are called: fixed lists, drawn by user.

use crate::simulate::chance::Chance;

/// `("City, ST", hours from UTC in winter, weight)`
pub(super) const LOCATIONS: &[(&str, i8, u16)] = &[
    ("New York-Newark-Jersey City, NY", -5, 196),
    ("Los Angeles-Long Beach-Anaheim, CA", -8, 131),
    ("Chicago-Naperville-Elgin, IL", -6, 95),
    ("Dallas-Fort Worth-Arlington, TX", -6, 76),
    ("Houston-The Woodlands-Sugar Land, TX", -6, 70),
    ("Washington-Arlington-Alexandria, DC", -5, 62),
    ("Philadelphia-Camden-Wilmington, PA", -5, 61),
    ("Miami-Fort Lauderdale, FL", -5, 61),
    ("Atlanta-Sandy Springs-Roswell, GA", -5, 59),
    ("Boston-Cambridge-Newton, MA", -5, 48),
    ("Phoenix-Mesa-Scottsdale, AZ", -7, 47),
    ("San Francisco-Oakland, CA", -8, 46),
    ("Riverside-San Bernardino, CA", -8, 45),
    ("Detroit-Warren-Dearborn, MI", -5, 43),
    ("Seattle-Tacoma-Bellevue, WA", -8, 38),
    ("Minneapolis-St. Paul, MN", -6, 35),
    ("San Diego-Carlsbad, CA", -8, 33),
    ("Tampa-St. Petersburg, FL", -5, 30),
    ("Denver-Aurora, CO", -7, 28),
    ("St. Louis, MO", -6, 28),
    ("Baltimore-Columbia-Towson, MD", -5, 28),
    ("Charlotte-Concord, NC", -5, 25),
    ("Orlando-Kissimmee, FL", -5, 24),
    ("Portland-Vancouver-Hillsboro, OR", -8, 24),
    ("San Antonio-New Braunfels, TX", -6, 24),
    ("Sacramento-Roseville, CA", -8, 23),
    ("Pittsburgh, PA", -5, 23),
    ("Las Vegas-Henderson, NV", -8, 21),
    ("Cincinnati, OH", -5, 21),
    ("Kansas City, MO", -6, 21),
    ("Austin-Round Rock, TX", -6, 20),
    ("Cleveland-Elyria, OH", -5, 20),
    ("Columbus, OH", -5, 20),
    ("San Jose-Sunnyvale-Santa Clara, CA", -8, 20),
    ("Nashville-Davidson, TN", -6, 18),
    ("Virginia Beach-Norfolk, VA", -5, 17),
    ("Milwaukee-Waukesha, WI", -6, 16),
    ("Jacksonville, FL", -5, 14),
    ("Oklahoma City, OK", -6, 13),
    ("Memphis, TN", -6, 13),
    ("Louisville, KY", -5, 13),
    ("Richmond, VA", -5, 13),
    ("New Orleans-Metairie, LA", -6, 13),
    ("Raleigh, NC", -5, 13),
    ("Salt Lake City, UT", -7, 12),
    ("Birmingham-Hoover, AL", -6, 11),
    ("Buffalo-Cheektowaga, NY", -5, 11),
    ("Rochester, NY", -5, 11),
    ("Tucson, AZ", -7, 10),
    ("Urban Honolulu, HI", -10, 10),
    ("Tulsa, OK", -6, 10),
    ("Fresno, CA", -8, 10),
    ("Omaha-Council Bluffs, NE", -6, 9),
    ("Albuquerque, NM", -7, 9),
    ("Boise City, ID", -7, 7),
    ("Spokane, WA", -8, 5),
    ("Anchorage, AK", -9, 4),
    ("Madison, WI", -6, 6),
    ("Burlington, VT", -5, 2),
    ("Missoula, MT", -7, 1),
];

pub(super) const USER_AGENTS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:135.0) Gecko/20100101 Firefox/135.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36 Edg/133.0.0.0",
    "Mozilla/5.0 (iPad; CPU OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:135.0) Gecko/20100101 Firefox/135.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36",
];

pub(super) const WOMEN: &[&str] = &[
    "Emma", "Olivia", "Ava", "Sophia", "Isabella", "Mia", "Amelia", "Harper", "Evelyn", "Abigail", "Emily", "Ella", "Camila", "Luna",
    "Mila", "Aria", "Scarlett", "Penelope", "Layla", "Chloe", "Victoria", "Madison", "Eleanor", "Grace", "Nora", "Riley", "Zoey", "Hannah",
    "Hazel", "Lily", "Jiwoo", "Minji",
];
pub(super) const MEN: &[&str] = &[
    "Liam",
    "Noah",
    "Oliver",
    "Elijah",
    "James",
    "William",
    "Benjamin",
    "Lucas",
    "Henry",
    "Theodore",
    "Jack",
    "Levi",
    "Alexander",
    "Jackson",
    "Mateo",
    "Daniel",
    "Michael",
    "Mason",
    "Sebastian",
    "Ethan",
    "Logan",
    "Owen",
    "Samuel",
    "Jacob",
    "Asher",
    "Aiden",
    "John",
    "Joseph",
    "Wyatt",
    "David",
    "Minjun",
    "Jihoon",
];
pub(super) const SURNAMES: &[&str] = &[
    "Smith",
    "Johnson",
    "Williams",
    "Brown",
    "Jones",
    "Garcia",
    "Miller",
    "Davis",
    "Rodriguez",
    "Martinez",
    "Hernandez",
    "Lopez",
    "Gonzalez",
    "Wilson",
    "Anderson",
    "Thomas",
    "Taylor",
    "Moore",
    "Jackson",
    "Martin",
    "Lee",
    "Perez",
    "Thompson",
    "White",
    "Harris",
    "Sanchez",
    "Clark",
    "Ramirez",
    "Lewis",
    "Robinson",
    "Walker",
    "Young",
    "Allen",
    "King",
    "Wright",
    "Scott",
    "Torres",
    "Nguyen",
    "Hill",
    "Flores",
    "Green",
    "Adams",
    "Nelson",
    "Baker",
    "Hall",
    "Rivera",
    "Campbell",
    "Mitchell",
    "Carter",
    "Roberts",
    "Kim",
    "Park",
    "Choi",
    "Kang",
];

/// Numbers of the lists above.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    pub location: u8,
    pub agent: u8,
    pub first: u8,
    pub last: u8,
    /// Number of the configuration's genders.
    pub gender: u8,
}

impl Person {
    /// `genders`: names and weights.
    pub(super) fn draw(chance: &mut Chance, genders: &[(String, f64)]) -> Self {
        Self {
            location: chance.weighted(LOCATIONS.iter().map(|l| f64::from(l.2))) as u8,
            agent: (chance.below(USER_AGENTS.len()).min(chance.below(USER_AGENTS.len()))) as u8,
            first: chance.below(WOMEN.len().min(MEN.len())) as u8,
            last: chance.below(SURNAMES.len()) as u8,
            gender: chance.weighted(genders.iter().map(|g| g.1)) as u8,
        }
    }

    pub(super) fn location(self) -> &'static str {
        LOCATIONS[usize::from(self.location)].0
    }

    /// Milliseconds to add to UTC.
    pub(super) fn offset(self) -> i64 {
        i64::from(LOCATIONS[usize::from(self.location)].1) * 3_600_000
    }

    pub(super) fn first_name(self, gender: &str) -> &'static str {
        if gender.starts_with(['M', 'm']) { MEN[usize::from(self.first)] } else { WOMEN[usize::from(self.first)] }
    }

    pub(super) fn last_name(self) -> &'static str {
        SURNAMES[usize::from(self.last)]
    }

    pub(super) fn agent(self) -> &'static str {
        USER_AGENTS[usize::from(self.agent)]
    }
}
